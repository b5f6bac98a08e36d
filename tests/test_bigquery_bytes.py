"""What a push costs on BigQuery: which bytes its jobs refer to, and what the page of docs makes of it."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta

import pytest
import yaml

from tests.support import emulator
from tests.support.billing import Bill
from tests.support.gateway import Gateway
from tests.support.meters import Meters
from tests.support.projects import PROJECTS, build_project

NOON = datetime(2024, 1, 1, 12)
AS_OF = {"as_of": "2024-01-01T13:00:00Z"}
ENTITIES, HISTORY = 1_000, 300
WORDS = "a text of thirty characters, {}"
FEATURES = {
    **{f"whole_{at}": "{} + cast(0 as int64)" for at in range(4)},
    **{f"words_{at}": f"concat('{WORDS[:-2]}', cast({{}} as string))" for at in range(6)},
}
"""Names and values, for a number. Of more of them, or of doubles, the emulator takes minutes to read a statement."""
BYTES_OF_A_ROW = 8 + 8 + 4 * 8 + 6 * (2 + len(WORDS.format(1)))


@pytest.fixture(scope="module")
def gateway(bigquery):
    with Gateway(bigquery) as opened:
        yield opened


@pytest.fixture(scope="module")
def built(bigquery, gateway, tmp_path_factory):
    """The project of the meters with one wide view, whose key is a number."""
    source = shutil.copytree(PROJECTS / "meters", tmp_path_factory.mktemp("wide") / "source")
    (source / "models" / "wide.sql").write_text(
        f"select id, seen_at, {', '.join(FEATURES)} from wide_meters.observations"
    )
    meta = {"feature_view": {"entities": {"thing": "id"}, "features": [*FEATURES], "ttl": "30d"}}
    model = {"name": "wide", "config": {"event_time": "seen_at", "meta": meta}}
    (source / "models" / "wide.yml").write_text(yaml.safe_dump({"models": [model]}))
    declared = ", ".join(f"{name} {'int64' if name.startswith('whole') else 'string'}" for name in FEATURES)
    emulator.run(
        bigquery.endpoint,
        "create schema wide_meters",
        f"create table wide_meters.observations (id int64, seen_at timestamp, {declared})",
    )
    environment = {**gateway.environment, "METERS_SCHEMA": "wide_meters"}
    return build_project(source, tmp_path_factory.mktemp("built") / "wide", target="bigquery", environment=environment)


@pytest.fixture
def wide(built, gateway, redis_url, monkeypatch):
    for name, value in built.environment.items():
        monkeypatch.setenv(name, value)
    gateway.heal()
    opened = Meters(built, redis_url)
    opened.run("delete from {s}.observations", f"drop schema if exists {opened.sync_schema} cascade")
    opened.run(
        observed(f"unnest(generate_array(1, {ENTITIES})) as id", at=NOON, value=1),
        observed(f"unnest(generate_array(1, {HISTORY})) as id", at=NOON - timedelta(days=1), value=0),
    )
    yield opened
    gateway.heal()
    opened.close()


def observed(source: str, *, at: datetime, value: int) -> str:
    """The statement that inserts a row for each id of a source."""
    values = ", ".join(each.format(value) for each in FEATURES.values())
    columns = ", ".join(["id", "seen_at", *FEATURES])
    return f"insert into {{s}}.observations ({columns}) select id, timestamp '{at}+00:00', {values} from {source}"


def billed(wide, gateway, **options):
    """Push, and count what its jobs refer to."""
    bill = Bill(gateway.target)
    gateway.heal()
    gateway.fail_if(bill.watch, "stopped", "never")
    (pushed,) = wide.store.push(["wide"], **AS_OF, **options)
    gateway.heal()
    return pushed, bill


def change_one_percent(wide):
    """What a day brings: new rows of some entities, a new entity, and one that is gone."""
    newer = NOON + timedelta(minutes=10)
    wide.run(
        observed(f"unnest(generate_array(1, {ENTITIES // 100 - 2})) as id", at=newer, value=2),
        observed(f"unnest([{ENTITIES + 1}]) as id", at=newer, value=3),
        f"delete from {{s}}.observations where id = {ENTITIES}",
    )


def test_a_push_with_few_changes_reads_the_view_once_and_little_else(wide, gateway):
    billed(wide, gateway)
    change_one_percent(wide)
    pushed, bill = billed(wide, gateway)
    assert (pushed.written, pushed.deleted, pushed.kept) == (ENTITIES // 100 - 1, 1, ENTITIES - 9)
    (scan,) = bill.of("`wide`")
    assert scan.columns == {"id", "seen_at", *FEATURES}
    assert scan.bytes == (ENTITIES + HISTORY + 8) * BYTES_OF_A_ROW
    assert bill.bytes <= 1.2 * scan.bytes
    assert wide.differences("wide") == []


def test_a_push_at_which_nothing_changed_reads_the_view_once_and_no_feature_again(wide, gateway):
    billed(wide, gateway)
    pushed, bill = billed(wide, gateway)
    assert (pushed.written, pushed.deleted) == (0, 0)
    (scan,) = bill.of("`wide`")
    assert bill.bytes <= 1.2 * scan.bytes
    assert not any(read.columns & set(FEATURES) for read in bill.of("_rows_") if read.bytes)
    assert len(wide.sync_tables()) == 2


def test_a_first_push_reads_the_view_once_and_its_rows_to_send_them(wide, gateway):
    pushed, bill = billed(wide, gateway)
    assert pushed.written == ENTITIES
    (scan,) = bill.of("`wide`")
    assert bill.bytes <= 2.2 * scan.bytes
