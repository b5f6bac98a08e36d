"""Secrets in every credential reach no output, log, repr, traceback, argument, file, state or Redis key."""

from __future__ import annotations

import base64
import json
import logging
import os
import sys
import tempfile
import traceback
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
import redis
from click.testing import CliRunner

from feature_sync import AsyncFeatureClient, FeatureClient, FeatureStore
from feature_sync.cli import cli
from feature_sync.errors import FeatureSyncError
from feature_sync.online.redis.address import read_address
from feature_sync.online.redis.server import _free_port
from feature_sync.serving.endpoint import Endpoint
from feature_sync.serving.server.settings import ServerSettings
from tests.support.http_server import HttpServer
from tests.support.redis_server import RedisServer
from tests.support.unbuilt import UnbuiltProject

MARK = "pl4ntedS3cr3t"
SECRET = f"/{MARK}@ö%"
"""Percent-encoded or not, in any text, it has the mark."""
FORMS = [
    MARK.encode(),
    # base64 of a text that has the mark somewhere: its inner characters depend on where it begins, modulo three
    *(base64.b64encode(b"x" * shift + MARK.encode())[4 if shift else 0 : -4] for shift in range(3)),
    MARK.encode().hex().encode(),
]
WATCH = {"on": False, "seen": []}


def watch(event: str, arguments: tuple) -> None:
    """Note the arguments of every process that is started, and the content of every file before it is removed."""
    if not WATCH["on"]:
        return
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system"):
        WATCH["seen"].append((event, repr(arguments[:2]).encode()))
    elif event in ("os.remove", "os.rename"):
        WATCH["on"] = False  # what follows is the watcher's own
        try:
            path = Path(os.fsdecode(arguments[0]))
            if path.is_file():
                WATCH["seen"].append((f"{event} {path}", path.read_bytes()))
        finally:
            WATCH["on"] = True


sys.addaudithook(watch)


def assert_clean(what: str, content: str | bytes) -> None:
    data = content.encode(errors="surrogateescape") if isinstance(content, str) else content
    for form in FORMS:
        assert form not in data, f"{what}: {data[max(0, data.find(form) - 200) : data.find(form) + 60]!r}"


@pytest.fixture(scope="module")
def server():
    """A Redis with the secret as its password, which does not stand in the server's own arguments."""
    with RedisServer() as started:
        with started.client() as client:
            client.config_set("requirepass", SECRET)
        started.settings["requirepass"] = SECRET
        yield started


@pytest.fixture
def project(postgres, tmp_path):
    """A project on PostgreSQL whose role has the secret as its password; targets that fail, with the same secret."""
    made = UnbuiltProject(tmp_path / "project", login=postgres.environment, schema="secrets")
    made.view("orders", "select 1 as id, 2 as amount", features=["amount"])
    made.service("churn", {"orders": ["amount"]}, ["orders"])
    made.model("asked", "select 1 as id, timestamp '2024-01-01' as event_timestamp", event_time="event_timestamp")
    made.open("redis://nowhere").close()
    good = {**made.settings, "password": "{{ env_var('PLANTED') }}"}
    google = {"type": "bigquery", "project": "p", "dataset": "d", "api_endpoint": f"http://127.0.0.1:{_free_port()}"}
    google["job_retry_deadline_seconds"] = 1
    outputs = {
        "unbuilt": good,
        "closed": {**good, "host": "127.0.0.1", "port": _free_port()},
        "wrong": {**good, "port": "{{ env_var('PLANTED') }}"},
        "unknown": {**good, "type": "oracle"},
        "token": {**google, "method": "oauth-secrets", "token": SECRET},
        "keyfile": {**google, "method": "service-account-json", "keyfile_json": {"private_key": SECRET}},
        "refresh": {**google, "method": "oauth-secrets", "refresh_token": SECRET, "client_id": "c",
                    "client_secret": SECRET, "token_uri": f"http://127.0.0.1:{_free_port()}/{MARK}"},
    }  # fmt: skip
    refused = f"http://user:{quote(SECRET, safe='')}@127.0.0.1:{_free_port()}/{MARK}"
    monitor = {"on_alert": {"webhook": refused, "command": ["/bin/false"]}, "lineage": refused}
    profile = {"target": "unbuilt", "outputs": outputs, "feature_sync": monitor}
    (made.folder / "profiles.yml").write_text(json.dumps({"unbuilt": profile}))
    yield made
    made.drop()


@pytest.fixture
def run(project, server, tmp_path, monkeypatch, caplog):
    """Run commands in this process, on an empty Redis; everything that they leave or say is searched at the end."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path)
    with redis.Redis(unix_socket_path=server.settings["unixsocket"], password=SECRET) as client:
        client.flushall()
    caplog.set_level(logging.DEBUG)
    environment = {
        "PLANTED": SECRET, "DBT_PROJECT_DIR": str(project.folder), "DBT_PROFILES_DIR": str(project.folder),
        "FEATURE_SYNC_REDIS_URL": f"redis://:{quote(SECRET, safe='')}@127.0.0.1:{server.port}",
        "FEATURE_SYNC_TOKEN": SECRET, "FEATURE_SYNC_PASSWORD_WRITER": SECRET * 2,
        "FEATURE_SYNC_REDIS_SSL_PASSWORD": SECRET, "PGPASSWORD": SECRET,
    }  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    codes = []

    def run_one(*arguments: str, **changes: str) -> int:
        with monkeypatch.context() as changed:
            for name, value in changes.items():
                changed.setenv(name, value)
            WATCH.update(on=True, seen=[])
            try:
                done = CliRunner().invoke(cli, list(arguments))
            finally:
                WATCH["on"] = False
        what = " ".join(arguments)
        assert_clean(f"output of {what}", done.output)
        if done.exc_info is not None:
            assert isinstance(done.exception, FeatureSyncError | SystemExit | None), done.exception
            assert_clean(f"traceback of {what}", "".join(traceback.format_exception(*done.exc_info)))
        for event, content in WATCH["seen"]:
            assert_clean(f"{event} of {what}", content)
        codes.append(done.exit_code)
        return done.exit_code

    yield run_one
    assert len(codes) > 1
    assert_clean("log", caplog.text)
    for record in caplog.records:
        assert_clean("log record", f"{record.getMessage()} {record.exc_text}")
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != "profiles.yml":
            assert_clean(str(path), path.read_bytes())


def in_redis_and_warehouse(project, server) -> None:
    with redis.Redis(unix_socket_path=server.settings["unixsocket"], password=SECRET) as client:
        for key in client.scan_iter("*"):
            assert_clean("Redis key", key + (client.dump(key) or b""))
        assert_clean("client list", str(client.client_list()))
    login = {name: project.settings[name] for name in ("host", "port", "user", "password", "dbname")}
    with psycopg.connect(**login) as connection:
        tables = connection.execute(
            "select tablename from pg_tables where schemaname = 'secrets_feature_sync'"
        ).fetchall()
        assert ("state",) in tables
        for (name,) in tables:
            assert_clean(
                f"table {name}", str(connection.execute(f'select * from secrets_feature_sync."{name}"').fetchall())
            )


SUCCEEDING = [
    ["list"], ["list", "--json"], ["describe", "orders"], ["describe", "churn", "--pin"], ["check"],
    ["check", "--warehouse", "--json"], ["docs"], ["sql", "churn", "--spine", "asked"],
    ["push", "--no-gate", "--dry-run"], ["push", "--no-gate", "--log-format", "json"],
    ["push", "--no-gate", "--full-refresh", "--json", "--prune"], ["verify"], ["verify", "--json"],
    ["status"], ["status", "--json"], ["get", "churn", "id=1"], ["get", "orders", "id=1", "--json"], ["card", "churn"],
    ["extract", "churn", "--spine", "asked", "-o", "set.parquet"],
    ["extract", "churn", "--latest", "-o", "latest.csv", "--json"],
    ["acl"], ["acl", "--format", "file"], ["acl", "--json"], ["grants", "--builder", "dbt"],
    ["redis", "status"], ["schema"],
]  # fmt: skip


def test_nothing_that_succeeds_shows_a_secret(run, project, server):
    for arguments in SUCCEEDING:
        assert run(*arguments) == 0, arguments
    assert run("init", "asked") == 1  # which has no key that could be guessed
    assert run("forget", "thing", "1", "--files", ".") == 3
    assert run("forget", "thing", "1", "--json") == 3
    in_redis_and_warehouse(project, server)


def test_nothing_that_fails_shows_a_secret(run, server):
    assert run("push", "--no-gate") == 0
    needs_redis = (["push", "--no-gate"], ["verify"], ["status"], ["get", "churn", "id=1"], ["card", "churn"])
    login = f"user:{quote(SECRET, safe='')}"
    for url in (
        f"redis://{login}@127.0.0.1:{server.port}", f"redis://{login}@127.0.0.1:{_free_port()}",
        f"redis://{login}@127.0.0.1:{server.port}?wrong={quote(SECRET)}", f"redis://user:{SECRET}@127.0.0.1:x",
        f"rediss://{login}@127.0.0.1:{server.port}?ssl_ca_certs=/nowhere", f"htp://{login}@h", SECRET,
    ):  # fmt: skip
        for arguments in needs_redis:
            assert run(*arguments, FEATURE_SYNC_REDIS_URL=url, FEATURE_SYNC_REDIS_TIMEOUT="1") == 1, (url, arguments)
        assert run("push", "--redis-url", url, "--redis-timeout", "1") == 1
        assert run("serve", "--key-prefix", "unbuilt", "--port", "99999", FEATURE_SYNC_REDIS_URL=url) != 0
    for target in ("closed", "wrong", "unknown", "token", "keyfile", "refresh", SECRET[1:2]):
        for arguments in (
            ["check", "--warehouse"],
            ["push", "--no-gate"],
            ["verify"],
            ["extract", "churn", "--spine", "asked", "-o", "x.csv"],
        ):
            assert run(*arguments, "--target", target) == 1, (target, arguments)
    assert run("acl", FEATURE_SYNC_PASSWORD_READER_CHURN=MARK[:5]) == 1
    assert run("push", "--select", "tag:none", "--no-gate") == 1  # asks dbt, in a process of its own


@pytest.mark.parametrize("spoiled", ['"password": {', "%$!", "unbuilt: [", '{{ env_var("PLANTED") | nonsense }}'])
def test_a_profile_that_cannot_be_read_shows_no_secret(run, project, spoiled):
    (project.folder / "profiles.yml").write_text(f"unbuilt: {{outputs: {{unbuilt: {{password: '{SECRET}', {spoiled}")
    assert run("push") == 1
    assert run("check", "--warehouse") == 1


def test_no_repr_shows_a_secret(run, project, monkeypatch):
    url = os.environ["FEATURE_SYNC_REDIS_URL"]
    with closing(FeatureStore.open(redis_url=url, variables={"password": SECRET})) as store:
        assert run("list") == run("check") == 0
        rules, sockets, online = store.acl(), store.connections.sockets(), store.connections.online()
        shown = [store, store.project, store.project.options, store.target, store.connections, rules, sockets, online]
        shown += [read_address(url), Endpoint(url, timeout=1, client_name=""), store.registry]
        shown += [FeatureClient(url, "churn", prefix="unbuilt"), AsyncFeatureClient(url, "churn", prefix="unbuilt")]
        shown += [ServerSettings.read(os.environ, key_prefix="unbuilt")]
        for each in shown:
            assert_clean(type(each).__name__, f"{each!r} {each!s}")


def test_a_server_and_its_workers_have_no_secret_in_their_arguments_or_answers(run, server, tmp_path):
    assert run("push", "--no-gate") == run("list") == 0
    options = ["--key-prefix", "unbuilt", "--workers", "2"]
    with HttpServer(tmp_path, "", *options) as served:
        processes = {served.process.pid}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with_parent = stat.read_text().rpartition(")")[2].split() if stat.exists() else ["", "0"]
            if int(with_parent[1]) in processes:
                processes.add(int(stat.parent.name))
        assert len(processes) >= 2
        for pid in processes:
            assert_clean("arguments", Path(f"/proc/{pid}/cmdline").read_bytes())
        for header in (None, "Bearer wrong", f"Bearer {SECRET}".encode()):
            for path in ("/services", "/metrics", "/openapi.json", "/nowhere"):
                answer = served.client.get(path, headers={"authorization": header} if header else {})
                assert_clean(path, answer.text + str(answer.headers))
        served.stop()
        assert_clean("output", served.process.stdout.read() + served.process.stderr.read())


def test_the_search_itself_finds_every_form():
    for text in (SECRET, quote(SECRET, safe=""), f"redis://u:{SECRET}@h"):
        with pytest.raises(AssertionError):
            assert_clean("text", text)
        for shift in range(3):
            with pytest.raises(AssertionError):
                assert_clean("base64", base64.b64encode(b"u" * shift + text.encode()).decode())
