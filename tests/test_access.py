"""Redis's users as `feature-sync acl` prints them, on a real Redis: each may do its work, and nothing else."""

from __future__ import annotations

import asyncio
import stat
from contextlib import closing, contextmanager
from hashlib import sha256
from types import SimpleNamespace
from urllib.parse import quote

import pytest
import redis

from feature_sync import AsyncFeatureClient, FeatureClient
from feature_sync.errors import FeatureSyncError, OnlineStoreError, OutputError, RequestError, UnknownName, ViewsFailed
from feature_sync.online.redis.users import auditor, reader, writer
from tests.support.http_server import HttpServer
from tests.support.streamed_meters import OF_STREAMS
from tests.support.unbuilt import UnbuiltProject

NEIGHBOURS = ("orders", "orders_all", "order?", "[o]rders", "o*", r"o\rders")
"""Views whose names begin with each other, or are patterns that fit others."""
PASSWORD = "correct horse battery"
VARIABLES = ("WRITER", "AUDITOR", *(f"READER_OF_{at}" for at in range(len(NEIGHBOURS))), "READER_BOTH")
KEYS = {"id": 1}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A view and a service of its own for each name, and a service of two views."""
    made = UnbuiltProject(tmp_path_factory.mktemp("access"))
    for at, name in enumerate(NEIGHBOURS):
        made.view(name, f"select 1 as id, {at} as answer_{at}", features=[f"answer_{at}"])
        made.service(f"of_{at}", {name: [f"answer_{at}"]}, [name])
    made.service("both", {"orders": ["answer_0"], "orders_all": ["answer_1"]}, ["orders", "orders_all"])
    return made


@pytest.fixture
def shop(project, redis_url, monkeypatch):
    """Redis with the users that the command prints."""
    for name in VARIABLES:
        monkeypatch.setenv(f"FEATURE_SYNC_PASSWORD_{name}", f"{PASSWORD} of {name}")
    with closing(project.open(redis_url)) as store, redis.Redis.from_url(redis_url) as client:
        rules = store.acl()
        assert rules.without_password == ()
        for user in rules.users:
            client.execute_command("ACL", "SETUSER", user.name, *user.rules(rules.passwords[user.name]))
        client.execute_command("ACL", "LOG", "RESET")
        yield SimpleNamespace(project=project, url=redis_url, client=client, rules=rules)
        client.execute_command("ACL", "DELUSER", *(each.name for each in rules.users))


def login(shop, user: str) -> str:
    """The URL of a user, such as `writer`."""
    password = f"{PASSWORD} of {user.upper().replace('-', '_')}"
    return shop.url.replace("://", f"://unbuilt-{user}:{quote(password)}@")


@contextmanager
def opened(shop, user: str):
    with closing(shop.project.open(login(shop, user))) as store:
        yield store


def refusals(shop) -> list[str]:
    """What Redis refused since the last look, by user and command."""
    log = shop.client.acl_log()
    shop.client.acl_log_reset()
    return [f"{each['username']} {each['reason']} {each['object']}" for each in log]


def push(shop, **options) -> None:
    with opened(shop, "writer") as store:
        assert all(each.held_back is None for each in store.push(gate=False, **options))


def test_every_command_of_ours_runs_with_the_rules_and_none_is_refused(shop):
    push(shop)
    push(shop, full_refresh=True, prune=True)
    shop.project.run("update {schema}.orders set answer_0 = 7", "delete from {schema}.orders_all")
    push(shop, allow_removals=True)
    for user in ("writer", "auditor"):
        with opened(shop, user) as store:
            assert store.verify().is_equal
            assert {each.problem for each in store.status()} == {None}
            assert store.card("both").service == "both"
            assert store.get_feature_vector("of_2", KEYS).to_dict() == {"answer_2": 2}
            assert store.get_feature_vector("o*", KEYS).to_dict() == {"answer_4": 4}
    shop.project.run("insert into {schema}.orders_all values (1, 1)", "update {schema}.orders set answer_0 = 0")
    push(shop)
    assert refusals(shop) == []


def test_a_view_that_goes_is_pruned_with_the_writers_rules(shop):
    push(shop)
    gone, service = shop.project.nodes.pop("model.unbuilt.o*"), shop.project.exposures.pop("exposure.unbuilt.of_4")
    try:
        push(shop, prune=True)
        assert list(shop.client.scan_iter(r"unbuilt:o\**")) == [b"unbuilt:o*:fence"]
    finally:
        shop.project.nodes["model.unbuilt.o*"], shop.project.exposures["exposure.unbuilt.of_4"] = gone, service
    push(shop)
    assert refusals(shop) == []


@pytest.mark.parametrize("service", [f"of_{at}" for at in range(len(NEIGHBOURS))])
def test_a_reader_reads_its_service_by_each_way_and_no_other(shop, service):
    push(shop)
    url, at = login(shop, f"reader-{service}"), int(service.removeprefix("of_"))
    expected = {f"answer_{at}": at}
    with FeatureClient(url, service, prefix="unbuilt", timeout=5) as client:
        assert client.get(KEYS).to_dict() == expected

    async def get() -> dict:
        async with AsyncFeatureClient(url, service, prefix="unbuilt", timeout=5) as client:
            return (await client.get(KEYS)).to_dict()

    assert asyncio.run(get()) == expected
    with closing(shop.project.open(url)) as store:
        assert store.get_feature_vector(service, KEYS).to_dict() == expected
        assert store.get_feature_vector(NEIGHBOURS[at], KEYS).to_dict() == expected
        assert store.card(service).service == service
    assert refusals(shop) == []
    for other in {f"of_{each}" for each in range(len(NEIGHBOURS))} - {service}:
        with (
            FeatureClient(url, other, prefix="unbuilt", timeout=5) as client,
            pytest.raises(OnlineStoreError, match=r"give it a rule for that key\); feature-sync acl --service"),
        ):
            client.get(KEYS)


def test_the_server_over_http_runs_as_a_reader_or_as_the_auditor(shop, tmp_path):
    push(shop)
    for user, arguments in (("reader-both", ["--service", "both"]), ("auditor", [])):
        with HttpServer(tmp_path, login(shop, user), *arguments, "--key-prefix", "unbuilt") as server:
            server.wait_until_ready()
            assert server.columns("both", id=[1])["answer_1"]["values"] == [1]
            assert server.client.get("/services").status_code == 200
            assert server.client.get("/metrics").status_code == 200
    assert refusals(shop) == []


@pytest.mark.parametrize("at", range(len(NEIGHBOURS)))
def test_a_reader_is_refused_all_other_keys_and_every_write(shop, at):
    push(shop)
    mine = {b"unbuilt:revision", f"unbuilt:service:of_{at}".encode()}
    begin = f"unbuilt:{NEIGHBOURS[at]}:".encode()
    mine |= {begin + b"schema", begin + b"{1}"}
    keys = set(shop.client.keys("*"))
    assert mine < keys
    with redis.Redis.from_url(login(shop, f"reader-of_{at}"), driver_info=None) as client:
        for key in sorted(keys):
            if key in mine:
                assert client.exists(key) == 1
            else:
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.exists(key)
        for command in ("keys *", "scan 0", "config get *", "client list", "acl list", "flushall", "info", "monitor"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command.split())
    for command in every_command_that(shop, "write"):
        assert not allowed(shop, f"unbuilt-reader-of_{at}", command, begin + b"{1}"), command
    assert set(shop.client.keys("*")) == keys


def every_command_that(shop, category: str) -> list[str]:
    """The names of Redis's commands of a category."""
    listed = shop.client.execute_command("ACL", "CAT", category)
    names = [each.decode() for each in listed]
    assert len(names) > 50
    return names


def allowed(shop, user: str, command: str, *arguments: str | bytes) -> bool:
    """True if Redis would let a user run a command, which it does not run; with as many arguments as that needs."""
    for more in range(9):
        try:
            words = [*command.split("|"), *arguments, *["1"] * more]
            return shop.client.execute_command("ACL", "DRYRUN", user, *words) in (b"OK", True)
        except redis.ResponseError as wrong:
            if "wrong number of arguments" not in str(wrong):
                raise
    raise AssertionError(command)


def test_the_auditor_writes_nothing_and_neither_sees_what_is_not_of_the_prefix(shop):
    for command in ("set unbuilt:x 1", "del unbuilt:x", "eval return(1) 0", "flushall", "config get *", "acl list"):
        assert not allowed(shop, "unbuilt-auditor", *command.split()), command
    for key in ("other:store", "unbuilt", "unbuilt_too:store"):
        assert not allowed(shop, "unbuilt-auditor", "get", key)
        assert not allowed(shop, "unbuilt-writer", "set", key, "1")
    assert allowed(shop, "unbuilt-writer", "set", "unbuilt:store", "1")
    for command in (
        "flushall",
        "flushdb",
        "keys *",
        "config get *",
        "acl list",
        "shutdown",
        "script flush",
        "rename a b",
    ):
        assert not allowed(shop, "unbuilt-writer", *command.split()), command


@pytest.mark.slow
@pytest.mark.parametrize("command", [*writer("unbuilt").commands])
def test_no_command_is_in_the_rules_that_nothing_sends(shop, command, monkeypatch):
    """Run with one right less: either Redis refuses something, or it is one that the list below explains."""
    only_elsewhere = {
        "select": "a database other than 0",
        "client|setname": "the name of a connection",
        "hmget": "a row that is newer than the card",
        "ping": "the login of a client without a user",
        "role": "the login behind Sentinels",
        "cluster|slots": "a Redis Cluster",
        "asking": "a slot of a cluster that is moving",
        "cluster|nodes": "the status of a cluster",
        "dbsize": "the status of a cluster",
        "evalsha": "the rows of a slot of a cluster",
        "wait": "the replicas of a push",
        "exists": "the sample of verify, and /ready of serve",
        "memory|usage": "status",
        **dict.fromkeys(OF_STREAMS, "views with a stream"),
        "unwatch": "a card that has not changed after all",
    }
    shop.client.execute_command("ACL", "SETUSER", "unbuilt-writer", f"-{command}")
    refused = _all_of_it(shop)
    if refused:
        assert any(each.split()[-1] == command for each in refused), refused
    else:
        assert command in only_elsewhere


_OF_RIGHTS = ("does not allow it to this user", "EXEC without MULTI")


def _all_of_it(shop) -> list[str]:
    """Do what the writer does; returns what was refused."""
    try:
        push(shop, full_refresh=True)
        shop.project.run("update {schema}.orders set answer_0 = 9", "delete from {schema}.orders_all")
        push(shop, allow_removals=True)
        with opened(shop, "writer") as store:
            store.verify()
            store.status()
            store.get_feature_vector("both", KEYS)
            store.get_feature_vector("o*", KEYS)
        gone = shop.project.exposures.pop("exposure.unbuilt.both")
        try:
            push(shop, prune=True)
        finally:
            shop.project.exposures["exposure.unbuilt.both"] = gone
    except FeatureSyncError as refused:
        if not (isinstance(refused, ViewsFailed) or any(each in str(refused) for each in _OF_RIGHTS)):
            raise
    finally:
        shop.project.run("delete from {schema}.orders_all", "insert into {schema}.orders_all values (1, 1)")
        shop.project.run("update {schema}.orders set answer_0 = 0")
    return refusals(shop)


# What is printed


def test_it_prints_commands_that_redis_cli_takes_and_lines_of_its_file_of_users(shop):
    for line, user in zip(shop.rules.to_commands().splitlines(), shop.rules.users, strict=True):
        words = redis_cli_words(line)
        assert words[:3] == ["ACL", "SETUSER", user.name]
        assert words[3:] == user.rules(f"#{sha256(_password(user.name).encode()).hexdigest()}")
    lines = [each.decode() for each in shop.client.execute_command("ACL", "LIST")]
    for line in shop.rules.to_file().splitlines():
        kind, name, *rules = line.split(" ")
        shop.client.execute_command("ACL", "SETUSER", name, *rules)
        assert kind == "user"
    assert [each.decode() for each in shop.client.execute_command("ACL", "LIST")] == lines


def _password(user: str) -> str:
    return f"{PASSWORD} of {user.removeprefix('unbuilt-').upper().replace('-', '_')}"


def redis_cli_words(line: str) -> list[str]:
    """Split a line as redis-cli does."""
    words, quoted, escaped = [""], False, False
    for each in line:
        if escaped:
            words[-1], escaped = words[-1] + each, False
        elif quoted and each == "\\":
            escaped = True
        elif each == '"':
            quoted = not quoted
        elif each == " " and not quoted:
            words.append("")
        else:
            words[-1] += each
    return words


def test_without_passwords_redis_refuses_the_rules(shop, monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(f"FEATURE_SYNC_PASSWORD_{name}")
    with closing(shop.project.open(shop.url)) as store:
        rules = store.acl()
    assert len(rules.without_password) == len(rules.users)
    for user in rules.users:
        with pytest.raises(redis.ResponseError):
            shop.client.execute_command("ACL", "SETUSER", "nobody", *user.rules(rules.passwords[user.name]))
    assert b"nobody" not in shop.client.execute_command("ACL", "USERS")


def test_passwords_are_made_into_a_file_of_its_owner_alone_and_nowhere_else(project, tmp_path):
    path = tmp_path / "passwords.env"
    with closing(project.open("redis://nowhere")) as store:
        rules = store.acl(generate_passwords=path)
        with pytest.raises(OutputError, match="exists, and its passwords may be in use"):
            store.acl(generate_passwords=path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    made = dict(line.split("=", 1) for line in path.read_text().splitlines())
    assert {*made} == {*rules.variables.values()}
    printed = rules.to_commands() + rules.to_file() + repr(rules)
    for user, variable in rules.variables.items():
        assert made[variable] not in printed
        assert rules.passwords[user] == "#" + sha256(made[variable].encode()).hexdigest()


@pytest.mark.parametrize(
    ("password", "reason"), [("", "has 0 characters"), ("swordfish", "needs 12 or more"), (PASSWORD, None)]
)
def test_a_short_password_is_refused(project, monkeypatch, password, reason):
    monkeypatch.setenv("FEATURE_SYNC_PASSWORD_READER_BOTH", password)
    with closing(project.open("redis://nowhere")) as store:
        if reason is None:
            assert [each.name for each in store.acl(["both"]).users] == ["unbuilt-reader-both"]
        else:
            with pytest.raises(RequestError, match=reason):
                store.acl(["both"])


def test_an_unknown_service_and_one_that_is_never_pushed_are_named(tmp_path):
    project = UnbuiltProject(tmp_path)
    project.view("offline", "select 1 as id, 2 as answer", features=["answer"], online=False)
    project.service("never", {"offline": ["answer"]}, ["offline"])
    with closing(project.open("redis://nowhere")) as store:
        assert [each.name for each in store.acl().users] == ["unbuilt-writer", "unbuilt-auditor"]
        with pytest.raises(RequestError, match="never has a view that says online: false"):
            store.acl(["never"])
        with pytest.raises(UnknownName, match="did you mean 'never'"):
            store.acl(["nevr"])


def test_names_for_which_redis_has_no_rule_are_refused():
    for make in (writer, auditor, lambda prefix: reader(prefix, "s", ["v"])):
        with pytest.raises(RequestError, match="white space"):
            make("our shop")


def test_two_services_that_would_share_a_variable_are_named(tmp_path):
    project = UnbuiltProject(tmp_path)
    project.view("v", "select 1 as id, 2 as answer", features=["answer"])
    for name in ("a.b", "a_b"):
        project.service(name, {"v": ["answer"]}, ["v"])
    with closing(project.open("redis://nowhere")) as store, pytest.raises(RequestError, match="READER_A_B would hold"):
        store.acl()
