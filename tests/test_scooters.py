"""The example of a streamed view: from the message to Redis, and through the warehouse to Redis again."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from time import monotonic, sleep

import pytest

from tests.support import emulator
from tests.support.gateway import Gateway
from tests.support.kafka import KafkaCluster
from tests.support.package import PackageProject
from tests.support.projects import EXAMPLE, PROJECTS

LANDED = "scooters_landing.positions"


@pytest.fixture
def kafka():
    cluster = KafkaCluster()
    yield cluster
    cluster.close()


@pytest.fixture
def topics(kafka):
    """The topic of the view and that of its dead letters."""
    kafka.create("positions", 2)
    kafka.create("positions_dead", 1)


@pytest.fixture
def on_postgres(postgres, tmp_path, redis_url):
    with closing(postgres.connect()) as connection:
        connection.execute("drop schema if exists scooters, scooters_feature_sync, scooters_landing cascade")
        connection.execute("create schema scooters_landing")
    return Scooters(PackageProject("scooters", tmp_path, "postgres", postgres), redis_url)


@pytest.fixture
def on_bigquery(bigquery, tmp_path, redis_url):
    emulator.run(bigquery.endpoint, "create schema if not exists scooters_landing")
    with Gateway(bigquery) as gateway:  # which loads Parquet
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

    @contextmanager
    def streaming(self, *arguments: str) -> Iterator[None]:
        """Stream in a process of its own, which ends well when it is told to."""
        command = [sys.executable, "-m", "feature_sync", "stream", "scooter_state", "--land", LANDED, *arguments]
        variables = {**self.package.project.variables, "FEATURE_SYNC_REDIS_URL": self._redis_url}
        process = subprocess.Popen(command, cwd=self.package.project.folder, env=variables, stderr=subprocess.PIPE)
        try:
            yield
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 128 + signal.SIGTERM, process.stderr.read()
        finally:
            process.kill()
            process.communicate()

    def landed(self) -> int:
        query = f"select count(*) from {LANDED}"
        with closing(self.package.server.connect()) as connection:
            return connection.execute(query).fetchone()[0] if self._has_landing(connection) else 0

    @staticmethod
    def _has_landing(connection) -> bool:
        return connection.execute("select to_regclass(%s)", [LANDED]).fetchone()[0] is not None

    def build(self) -> None:
        self.package.dbt("build")

    def is_equal(self) -> bool:
        """True if Redis is what dbt built, and nothing in it is ahead."""
        (verified,) = json.loads(self.run("verify", "--json"))["feature_views"]
        return verified["is_equal"] and verified["ahead"] == 0

    def get(self, scooter: str) -> dict:
        values = json.loads(self.run("get", "scooter_state", f"scooter_id={scooter}", "--json"))
        return {each["name"]: each["value"] for each in values["features"]}


def message(scooter: str, minute: int, battery: float, zone: str) -> bytes:
    at = f"2026-03-01T12:{minute:02}:00Z"
    return json.dumps({"scooter_id": scooter, "measured_at": at, "battery": battery, "zone": zone}).encode()


def wait_until(holds: Callable[[], bool]) -> None:
    give_up = monotonic() + 60
    while not holds():
        assert monotonic() < give_up
        sleep(0.05)


FIRST = [
    (0, b"a", message("a", 0, 0.9, "north")), (1, b"b", message("b", 0, 0.5, "south")), (1, b"c", b"no JSON"),
]  # fmt: skip
SECOND = [(0, b"a", message("a", 2, 0.7, "harbour")), (0, b"a", message("a", 1, 0.8, "west"))]
NORTH, HARBOUR = {"battery": 0.9, "zone": "north"}, {"battery": 0.7, "zone": "harbour"}


def test_a_message_is_served_at_once_and_stays_when_the_warehouse_has_seen_it(kafka, topics, on_postgres):
    """One process lands what there is until the view is pushed; from then on it also writes ahead of the warehouse."""
    scooters = on_postgres
    scooters.package.dbt("parse")
    kafka.produce("positions", FIRST)
    with scooters.streaming("--from", kafka.url):
        wait_until(lambda: scooters.landed() == 3)
        scooters.build()
        scooters.run("push")
        assert scooters.get("a") == NORTH

        kafka.produce("positions", SECOND)
        wait_until(lambda: scooters.get("a") == HARBOUR)  # not yet built
        scooters.run("push")  # of the rows as they were: the stream stays ahead
        assert scooters.get("a") == HARBOUR

        wait_until(lambda: scooters.landed() == 5)
        scooters.build()
        scooters.run("push")
        assert scooters.get("a") == HARBOUR
        assert scooters.is_equal()


@pytest.mark.slow
def test_the_same_on_bigquery_step_by_step(kafka, topics, on_bigquery):
    scooters = on_bigquery
    stream = ("stream", "scooter_state", "--from", kafka.url, "--land", LANDED, "--until-end")
    scooters.package.dbt("parse")
    kafka.produce("positions", FIRST)
    assert scooters.run(*stream) == "scooter_state: 3 messages, 0 rows applied, 0 dead letters\n"
    scooters.build()
    scooters.run("push")

    kafka.produce("positions", SECOND)
    assert scooters.run(*stream) == "scooter_state: 2 messages, 1 rows applied, 0 dead letters\n"
    assert scooters.get("a") == HARBOUR
    scooters.build()
    scooters.run("push")
    assert scooters.get("a") == HARBOUR
    assert scooters.is_equal()


def test_the_page_of_streams_shows_the_example_word_for_word():
    page = (EXAMPLE / "docs" / "streaming.md").read_text()
    setting_up = page.partition("## Setting it up")[2].partition("\n## ")[0]
    blocks = re.findall(r"```(?:yaml|sql)\n(.*?)```", setting_up, re.DOTALL)
    files = [path.read_text() for path in (PROJECTS / "scooters").rglob("*.*") if path.is_file()]
    assert len(blocks) == 4
    for block in blocks:
        assert any(block.strip() in text for text in files), block
