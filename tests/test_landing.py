"""Messages of a stream, landed in the warehouse: each with its position, and the ranges of offsets that were read."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from threading import Thread
from uuid import uuid4

import pytest

from feature_sync.definitions import Target
from feature_sync.errors import RequestError, WarehouseError
from feature_sync.stream.landing import Landing
from feature_sync.stream.messages import Message
from feature_sync.warehouses.landing import LandedRow, OffsetRange, landing_table, open_landing
from tests.support import emulator
from tests.support.gateway import Gateway

TOPIC = "clicks of o'brien"
MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
MILLISECONDS = int(MOMENT.timestamp() * 1000)
COLUMNS = "topic_partition, topic_offset, message_timestamp, message_key, message_value, key_bytes, value_bytes"


class Place:
    """A schema of its own to land in."""

    def __init__(self, adapter: str, server) -> None:
        self.adapter, self.server = adapter, server
        self.schema = f"landed_{uuid4().hex[:8]}"
        self.table = landing_table(f"{self.schema}.clicks")
        settings = {"project": emulator.PROJECT, "dataset": self.schema, "method": "oauth-secrets", "token": "unused"}
        self.target = (
            server.target
            if adapter == "postgres"
            else Target(
                profile="here",
                name="test",
                adapter="bigquery",
                settings={**settings, "api_endpoint": server.endpoint},
                project_dir=".",
            )
        )
        self.run(f"create schema {self.schema}")

    def run(self, statement: str) -> list[tuple]:
        if self.adapter == "bigquery":
            return emulator.run(self.server.endpoint, statement)
        with closing(self.server.connect()) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def connect(self):
        return open_landing(self.target, self.table, TOPIC)

    def land(self, *parts: tuple[dict[int, int], list[Message]], **options) -> None:
        """Land messages in a process of their own, as it were."""
        landing = Landing(self.connect, **options)
        for begins, messages in parts:
            landing.land(messages, begins)
        landing.flush()
        landing.close(seconds=10)

    def rows(self) -> list[tuple]:
        return self.run(f"select {COLUMNS} from {self.schema}.clicks order by 1, 2")

    def ranges(self) -> list[tuple[int, int, int]]:
        columns = "topic_partition, first_offset, next_offset"
        return [tuple(row) for row in self.run(f"select {columns} from {self.schema}.clicks__ranges order by 1, 2")]


@pytest.fixture(scope="module")
def gateway(bigquery):
    with Gateway(bigquery) as opened:
        yield opened


@pytest.fixture(params=["postgres", "bigquery"])
def place(request):
    server = request.getfixturevalue("gateway" if request.param == "bigquery" else request.param)
    return Place(request.param, server)


@pytest.fixture
def on_postgres(postgres):
    return Place("postgres", postgres)


def messages(partition: int, *offsets: int) -> list[Message]:
    return [Message(partition, offset, MILLISECONDS, b"k", b'{"n": %d}' % offset) for offset in offsets]


def test_a_message_is_landed_as_it_is_with_its_position(place):
    odd = [
        Message(0, 0, MILLISECONDS, b"k1", '{"name": "Zoë"}'.encode()),
        Message(0, 1, None, None, None),
        Message(0, 2, MILLISECONDS, b"\xff\x00", b"\xfe\xff"),
        Message(0, 3, 1 << 62, None, b"long after"),
    ]
    place.land(({}, odd))
    assert [tuple(row) for row in place.rows()] == [
        (0, 0, MOMENT, "k1", '{"name": "Zoë"}', None, None),
        (0, 1, None, None, None, None, None),
        (0, 2, MOMENT, None, None, b"\xff\x00", b"\xfe\xff"),
        (0, 3, None, None, "long after", None, None),
    ]
    assert place.ranges() == [(0, 0, 4)]


def test_a_text_that_postgresql_cannot_hold_is_landed_as_bytes(on_postgres):
    on_postgres.land(({}, [Message(0, 0, None, b"a\0b", b'"\0"')]))
    assert on_postgres.rows() == [(0, 0, None, None, None, b"a\0b", b'"\0"')]


def test_what_was_landed_before_is_not_landed_again(place):
    place.land(({}, messages(0, 0, 1, 2)), ({0: 0}, messages(0, 0, 1, 2, 3)))  # back to the watermark
    place.land(({0: 1}, messages(0, 1, 2, 3, 4)))  # another process
    assert [row[1] for row in place.rows()] == [0, 1, 2, 3, 4]
    assert place.ranges() == [(0, 0, 5)]


def test_offsets_that_the_topic_lacks_are_read_though_no_row_has_them(place):
    """A compacted topic, and the markers of transactions: what counts is what was read."""
    place.land(({0: 0}, messages(0, 3, 4, 8)), ({0: 9}, messages(0, 12)))
    assert place.ranges() == [(0, 0, 13)]
    place.land(({0: 13}, messages(0, 20)))  # the next process goes on where this one was
    assert place.ranges() == [(0, 0, 21)]
    with closing(place.connect()) as writer:
        assert writer.ends() == {0: 21}


def test_what_nobody_has_read_stays_a_hole_until_somebody_does(place):
    place.land(({1: 5}, messages(1, 5, 6)), ({1: 9}, messages(1, 9)))
    assert place.ranges() == [(1, 5, 7), (1, 9, 10)]
    with closing(place.connect()) as writer:
        assert writer.ends() == {1: 0}
    place.land(({}, messages(1, 0, 1, 2, 3, 4, 5, 6, 7, 8)))
    with closing(place.connect()) as writer:
        assert writer.ends() == {1: 10}


def test_values_are_decoded_to_json_and_kept_as_bytes_where_they_cannot_be(on_postgres):
    def decode(contents):
        return [{"amount": int(content)} for content in contents]

    on_postgres.land(({}, [Message(0, 0, None, None, b"7"), Message(0, 1, None, None, b"poison")]), decode=decode)
    assert [row[4:] for row in on_postgres.rows()] == [('{"amount":7}', None, None), (None, None, b"poison")]


def test_writers_side_by_side_land_each_message_once(on_postgres):
    every = [messages(partition, *range(at, at + 50)) for at in range(0, 1000, 50) for partition in (0, 1)]
    failed = []

    def land():
        try:
            on_postgres.land(*(({part[0].partition: part[0].offset}, part) for part in every))
        except WarehouseError as error:
            failed.append(error)

    threads = [Thread(target=land) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [row[:2] for row in on_postgres.rows()] == [(p, offset) for p in (0, 1) for offset in range(1000)]
    with closing(on_postgres.connect()) as writer:
        assert writer.ends() == {0: 1000, 1: 1000}


def test_a_lost_connection_is_made_anew(on_postgres):
    landing = Landing(on_postgres.connect)
    landing.land(messages(0, 0, 1), {})
    landing.flush()
    on_postgres.run("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'feature-sync'")
    landing.land(messages(0, 2), {0: 2})
    landing.flush()
    landing.close(seconds=10)
    assert [row[1] for row in on_postgres.rows()] == [0, 1, 2]
    assert on_postgres.ranges() == [(0, 0, 3)]


def test_rows_and_ranges_are_seen_together(on_postgres):
    """A writer that fails between them leaves neither."""
    writer = on_postgres.connect()
    on_postgres.run(f"alter table {on_postgres.schema}.clicks__ranges add check (next_offset < 3)")
    rows = [LandedRow(0, offset, None, None, "v", None, None) for offset in (0, 1, 2)]
    with closing(writer), pytest.raises(WarehouseError, match="violates check constraint"):
        writer.write(rows, [OffsetRange(0, 0, 3)])
    assert (on_postgres.rows(), on_postgres.ranges()) == ([], [])


def test_duckdb_is_no_place_to_land_in():
    target = Target(profile="p", name="dev", adapter="duckdb", settings={"path": "x.duckdb"}, project_dir=".")
    with pytest.raises(RequestError, match=r"dev is DuckDB, whose file only one process may write.*PostgreSQL or Big"):
        open_landing(target, landing_table("raw.clicks"), TOPIC)


@pytest.mark.parametrize("name", ["clicks", "a.b.c.d", "raw.", ""])
def test_a_table_to_land_in_is_named_with_its_schema(name):
    with pytest.raises(RequestError, match=r"write schema\.table"):
        landing_table(name)


def test_a_schema_that_is_not_there_is_named(place):
    missing = landing_table("nowhere.clicks")
    with pytest.raises(WarehouseError, match=r"cannot land in nowhere\.clicks and clicks__ranges"):
        open_landing(place.target, missing, TOPIC)


def test_a_table_of_another_kind_is_refused_before_anything_is_read(place):
    number = "int64" if place.adapter == "bigquery" else "bigint"
    place.run(f"create table {place.schema}.clicks (id {number})")
    with pytest.raises(WarehouseError, match=rf"{place.schema}\.clicks.*column.*topic"):
        place.connect()
