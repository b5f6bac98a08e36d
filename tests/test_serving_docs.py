"""docs/serving.md runs as it stands: its commands and Python blocks in order, its errors, the rights of its user."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import warnings
from contextlib import ExitStack

import msgspec
import pytest

from feature_sync import AsyncFeatureClient, DriftWarning, FeatureClient, FeatureStore
from feature_sync.errors import FeatureSyncError
from feature_sync.service_schema import SchemaFeature, ServiceSchema
from feature_sync.service_schema.pin import _schema_of
from feature_sync.serving.card import read_card
from feature_sync.serving.frames import frame_of
from feature_sync.value_types import parse
from tests.support.page import commands_of, program_of
from tests.support.projects import EXAMPLE, own_copy
from tests.support.redis_server import RedisServer

PAGE = EXAMPLE / "docs" / "serving.md"
MODEL_LIBRARIES = ("joblib", "mlflow", "fastapi")
SERVICE, PREFIX = "departure_delay_model", "feature_sync"
FLIGHT = {"carrier": "B6", "tailnum": "N193JB", "origin": "JFK"}
NOT_RUN_HERE = {"pip install feature-sync", "docker run", "uvicorn service:app", "curl 'http:", "ACL SETUSER"}
"""What other tests run: `test_core_install.py`, `test_model_libraries.py`, and below. Docker is not run."""


@pytest.fixture(scope="module")
def served():
    """A Redis of this module's own, since it gets users."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def pushed(example, served):
    done = example.feature_sync("push", FEATURE_SYNC_REDIS_URL=served.url)
    assert done.returncode == 0, done.stderr
    return served


def address_of(server, user=""):
    return f"redis://{user}127.0.0.1:{server.port}"


def test_the_page_runs_from_the_top_to_the_bottom(example, redis_url, tmp_path):
    project = own_copy(example, tmp_path / "copy")
    program = program_of(PAGE, without=MODEL_LIBRARIES)
    done = project.run(sys.executable, "-c", program, FEATURE_SYNC_REDIS_URL=redis_url, PYTHONPATH=str(EXAMPLE))
    assert (done.returncode, done.stderr) == (0, "")
    assert {"service.py", "pin.json", "service.json"} <= {each.name for each in project.folder.iterdir()}


def test_every_command_of_the_page_is_run_by_some_test():
    others = [line for line in commands_of(PAGE) if not line.startswith("feature-sync ")]
    assert {name for name in NOT_RUN_HERE for line in others if line.startswith(name)} == NOT_RUN_HERE
    assert len(others) == len(NOT_RUN_HERE)


@pytest.fixture(scope="module")
def rights(pushed):
    """Makes a user by the words of the page; some of its rights can be left out, and words be added."""
    (command,) = (line for line in commands_of(PAGE) if line.startswith("ACL SETUSER"))

    def grant(*, without=(), more=()):
        with pushed.client() as client:
            client.execute_command("ACL", "DELUSER", "reader")
            client.execute_command(*[word for word in command.split() if word not in without], *more)
        return address_of(pushed, "reader:password@")

    return grant


def test_the_rights_of_the_page_suffice(rights, example, pushed):
    url = rights()
    with FeatureClient(url, SERVICE, prefix=PREFIX) as client:
        assert client.get(FLIGHT)["flights_24h"] == 123
        assert client.get_many([FLIGHT] * 2_000).to_numpy().shape == (2_000, 13)
        with pushed.client() as admin:
            assert "feature-sync" in {each["name"] for each in admin.client_list() if each["user"] == "reader"}
    card = example.feature_sync("card", SERVICE, "--redis-url", url)
    assert (card.returncode, card.stderr) == (0, "")
    with pytest.raises(FeatureSyncError, match="did you mean 'departure_delay_model'"):
        FeatureClient(url, "departure_delay", prefix=PREFIX).warm_up()
    with pytest.raises(FeatureSyncError, match="does not allow it to this user"):
        FeatureClient(url, SERVICE, prefix="other").warm_up()
    with pytest.raises(FeatureSyncError, match="others are 'feature_sync'"):
        FeatureClient(rights(more=("%R~other:*",)), SERVICE, prefix="other").warm_up()
    with pytest.raises(FeatureSyncError, match="Redis has no card"):
        FeatureClient(f"{url}/1", SERVICE, prefix=PREFIX).warm_up()


def test_so_they_do_with_asyncio(rights):
    async def read():
        async with AsyncFeatureClient(rights(), SERVICE, prefix=PREFIX) as client:
            return await client.get(FLIGHT)

    assert asyncio.run(read())["flights_24h"] == 123


def test_the_command_line_reads_with_hgetall_too(rights, example):
    for more, code in ((), 1), (("+hgetall",), 0):
        done = example.feature_sync("get", "airport_weather", "airport=JFK", "--redis-url", rights(more=more))
        assert done.returncode == code, done.stderr


def test_the_user_reads_no_other_prefix_and_writes_nothing(rights, pushed):
    import redis

    with redis.Redis.from_url(rights()) as reader:
        for command in (["GET", "other"], ["MGET", "other:revision"], ["SET", f"{PREFIX}:revision", "1"]):
            with pytest.raises(redis.exceptions.NoPermissionError):
                reader.execute_command(*command)


def test_a_row_of_a_newer_schema_needs_hmget(rights, pushed, example):
    """The client knows the card; a row has a schema that the card does not list."""
    with pushed.client() as admin:
        key = f"{PREFIX}:airport_weather:{{JFK}}"
        row = admin.get(key)
        admin.set(key, row[:3] + b"\x00\x00\x00\x00" + row[7:])
        try:
            assert row[:3] == b"\x96\xc4\x04"
            for without, reason in (((), "no schema 00000000"), (("+hmget",), "does not allow it to this user")):
                url = rights(without=without)
                with pytest.raises(FeatureSyncError, match=reason):
                    FeatureClient(url, SERVICE, prefix=PREFIX).get(FLIGHT)
        finally:
            admin.set(key, row)


def test_all_rights_but_mget_can_be_left_out(rights):
    url = rights(without=("+smembers", "+scan", "+ping", "+client|setname", "+select", "+hmget"))
    assert FeatureClient(url, SERVICE, prefix=PREFIX).get(FLIGHT)["flights_24h"] == 123
    with pytest.raises(FeatureSyncError, match=r"Redis has no card .*or name another prefix or service"):
        FeatureClient(url, "departure_delay", prefix=PREFIX).warm_up()
    with pytest.raises(FeatureSyncError, match="does not allow it to this user"):
        FeatureClient(f"{url}/1", SERVICE, prefix=PREFIX).warm_up()
    with pytest.raises(FeatureSyncError, match="does not allow it to this user"):
        FeatureClient(rights(without=("+mget",)), SERVICE, prefix=PREFIX).warm_up()


@pytest.fixture(scope="module")
def table():
    """The errors of the page: pairs of an error's name and of what its text says."""
    section = PAGE.read_text().partition("\n## Errors\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \| (.+?) \|", section, re.MULTILINE)


class Mistakes:
    """One method for each error of the page that some request meets; its value is the error."""

    def __init__(self, example, server, clients) -> None:
        self.clients = clients
        self.url = address_of(server)
        self.server = server
        with FeatureStore(example.folder, profiles_dir=str(example.folder / "profiles")) as store:
            self.pin = store.pin(SERVICE)

    def client(self, **options):
        options = {"url": self.url, "service": SERVICE, "prefix": PREFIX, "timeout": 5, **options}
        made = FeatureClient(options.pop("url"), options.pop("service"), **options)
        self.clients.callback(made.close)
        return made

    def pinned(self, **changes):
        pin = msgspec.structs.replace(self.pin, **changes)
        return msgspec.structs.replace(pin, shape=_schema_of(pin).shape)

    def with_row(self, spoil, ask):
        key = f"{PREFIX}:airport_weather:{{JFK}}"
        with self.server.client() as admin:
            row = admin.get(key)
            admin.set(key, spoil(row))
            try:
                ask()
            finally:
                admin.set(key, row)

    def without_a_feature(self):
        """Drop `visib` from the layout of the row: a push of the view without its service."""
        columns = [["wind_speed", "float64"], ["precip", "float64"], ["pressure", "float64"]]
        with self.server.client() as admin:
            admin.hset(
                f"{PREFIX}:airport_weather:schema",
                b"\0\0\0\1",
                msgspec.json.encode({"keys": [["airport", "string"]], "features": columns, "defaults": {}, "fence": 0}),
            )
            row = msgspec.msgpack.encode([b"\0\0\0\1", 1359651000000000, 1.0, 2.0, 3.0])
            try:
                self.with_row(lambda _: row, lambda: self.client().get(FLIGHT))
            finally:
                admin.hdel(f"{PREFIX}:airport_weather:schema", b"\0\0\0\1")

    def while_redis_is_suspended(self):
        os.kill(self.server.pid, signal.SIGSTOP)
        try:
            self.client(timeout=0.05).warm_up()
        finally:
            os.kill(self.server.pid, signal.SIGCONT)

    def of_a_newer_format(self):
        read_card(b'{"format": 2}', "service.json")

    def beyond_float64(self):
        schema = ServiceSchema(keys=(), features=(SchemaFeature("id", parse("int64")),))
        frame_of(schema, [[2**53 + 1]], 1, "numpy")

    def without_pandas(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pandas", None)
        self.client().get(FLIGHT).to_pandas()

    def all(self, monkeypatch):
        get = self.client().get
        return {
            "no longer has the shape": lambda: self.client(pin=self.pinned(features=self.pin.features[1:])).warm_up(),
            "is computed by other SQL": lambda: self.client(pin=self.pinned(logic="0")).warm_up(),
            "the pin is of the service": lambda: self.client(pin=self.pinned(service="other")).warm_up(),
            "needs tailnum": lambda: get(carrier="B6", origin="JFK"),
            "has no key": lambda: get(FLIGHT | {"airport": "JFK"}),
            "expects string": lambda: get(FLIGHT | {"carrier": 1.5}),
            "which float64 may round": self.beyond_float64,
            "has no card": lambda: self.client(service="departure_delay").warm_up(),
            "cannot be reached": lambda: self.client(url="redis://127.0.0.1:1").warm_up(),
            "did not answer in time": self.while_redis_is_suspended,
            "refused the user": lambda: self.client(url=address_of(self.server, "nobody:wrong@")).warm_up(),
            "does not allow it": lambda: self.client(url=address_of(self.server, "powerless:password@")).warm_up(),
            "was pushed otherwise than its service": self.without_a_feature,
            "cannot be read": lambda: self.with_row(lambda row: row[:-1], lambda: get(FLIGHT)),
            "which this version of feature-sync does not read": self.of_a_newer_format,
            "needs pandas": lambda: self.without_pandas(monkeypatch),
        }


def test_each_error_of_the_page_is_raised_as_it_says(table, example, pushed, monkeypatch):
    with pushed.client() as admin:
        admin.execute_command("ACL", "SETUSER", "powerless", "on", ">password")
    with ExitStack() as clients:
        mistakes = Mistakes(example, pushed, clients).all(monkeypatch)
        assert len(table) == len(mistakes)
        for (name, says), (begin, ask) in zip(table, mistakes.items(), strict=True):
            assert says.startswith(begin)
            with warnings.catch_warnings():
                warnings.simplefilter("error", DriftWarning)
                with pytest.raises((FeatureSyncError, DriftWarning), match=re.escape(says)) as raised:
                    ask()
            assert name in [each.__name__ for each in type(raised.value).__mro__]
