"""The example of a streamed view: from the message to Redis, and through the warehouse to Redis again."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from tests.support import emulator
from tests.support.gateway import Gateway
from tests.support.kafka import KafkaCluster
from tests.support.package import PackageProject

LANDED = "scooters_landing.positions"


@pytest.fixture(scope="module")
def kafka():
    cluster = KafkaCluster()
    yield cluster
    cluster.close()


@pytest.fixture(params=["postgres", pytest.param("bigquery", marks=pytest.mark.slow)])
def scooters(request, tmp_path, redis_url):
    server = request.getfixturevalue(request.param)
    if request.param == "postgres":
        with closing(server.connect()) as connection:
            connection.execute("drop schema if exists scooters, scooters_feature_sync, scooters_landing cascade")
            connection.execute("create schema scooters_landing")
        yield Scooters(PackageProject("scooters", tmp_path, "postgres", server), redis_url)
        return
    emulator.run(server.endpoint, "create schema if not exists scooters_landing")
    with Gateway(server) as gateway:  # which loads Parquet
        yield Scooters(PackageProject("scooters", tmp_path, "bigquery", gateway), redis_url)


class Scooters:
    """The project with a Redis."""

    def __init__(self, package: PackageProject, redis_url: str) -> None:
        self.package, self._redis_url = package, redis_url

    def run(self, *command: str, code: int = 0) -> str:
        """Run a command of feature-sync; returns what it printed."""
        done = self.package.project.feature_sync(*command, FEATURE_SYNC_REDIS_URL=self._redis_url)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def build(self) -> None:
        self.package.dbt("build")

    def get(self, scooter: str) -> dict:
        values = json.loads(self.run("get", "scooter_state", f"scooter={scooter}", "--json"))
        return {name: each["value"] for name, each in values["features"].items()}


def message(scooter: str, minute: int, battery: float, zone: str) -> bytes:
    at = f"2026-03-01T12:{minute:02}:00Z"
    return json.dumps({"scooter_id": scooter, "measured_at": at, "battery": battery, "zone": zone}).encode()


def test_a_message_is_served_at_once_and_stays_when_the_warehouse_has_seen_it(kafka, scooters):
    kafka.create("positions", 2)
    kafka.create("positions_dead", 1)
    stream = ("stream", "scooter_state", "--from", kafka.url, "--land", LANDED, "--until-end")

    scooters.package.dbt("parse")
    # Before the first push there is nothing to run ahead of: the messages are landed.
    first = [(0, b"a", message("a", 0, 0.9, "north")), (1, b"b", message("b", 0, 0.5, "south"))]
    kafka.produce("positions", [*first, (1, b"c", b"no JSON")])
    assert scooters.run(*stream) == "scooter_state: 3 messages, 0 rows applied, 0 dead letters\n"
    scooters.build()
    scooters.run("push")
    assert scooters.get("b") == {"battery": 0.5, "zone": "south"}

    # From now on a message is served at once, and what comes late changes nothing.
    kafka.produce("positions", [(0, b"a", message("a", 2, 0.7, "harbour")), (0, b"a", message("a", 1, 0.8, "west"))])
    assert scooters.run(*stream) == "scooter_state: 2 messages, 1 rows applied, 0 dead letters\n"
    assert scooters.get("a") == {"battery": 0.7, "zone": "harbour"}
    scooters.run("push")  # of the rows as they were: the stream stays ahead
    assert scooters.get("a") == {"battery": 0.7, "zone": "harbour"}

    # The warehouse catches up: nothing is ahead any more, and Redis is what dbt built.
    scooters.build()
    scooters.run("push")
    assert scooters.get("a") == {"battery": 0.7, "zone": "harbour"}
    verified = json.loads(scooters.run("verify", "--json"))["feature_views"][0]
    assert verified["is_equal"], verified
    assert verified.get("ahead", 0) == 0, verified
