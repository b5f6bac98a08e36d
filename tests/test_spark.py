"""Training sets on Spark through Spark Connect: on Sail, which speaks it too, and on Spark itself (slow)."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_sync.warehouses import open_warehouse
from tests.support.cases import cases
from tests.support.engines import ask, canonical, examples, load, strategies
from tests.support.printed import without_lone_nan
from tests.support.spark import OnConnect, SparkProject

SERVERS = ["sail", pytest.param("spark", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=SERVERS)
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def warehouse(server):
    with closing(open_warehouse(server.target())) as opened:
        yield opened


@examples(12)
@given(data=st.data())
def test_every_spine_row_gets_what_the_oracle_finds_through_the_products_own_session(sail, tmp_path_factory, data):
    check_case(sail, tmp_path_factory, data, is_sail=True)


@pytest.mark.slow
@examples(12)
@given(data=st.data())
def test_spark_itself_answers_as_the_oracle_does(spark, tmp_path_factory, data):
    check_case(spark, tmp_path_factory, data, is_sail=False)


def check_case(server, tmp_path_factory, data, *, is_sail):
    case = data.draw(cases("spark"))
    if is_sail:
        case = replace(case, tables={view: without_lone_nan(rows) for view, rows in case.tables.items()})
    with closing(open_warehouse(server.target())) as opened:
        engine = OnConnect(opened, tmp_path_factory.mktemp("case"), is_sail=is_sail)
        load(engine, case)
        wanted = canonical(case.expected())
        for strategy in strategies(engine, case):
            assert canonical(ask(engine, case, strategy)) == wanted, strategy
            assert canonical(ask(engine, case, strategy, asked=case.asked)) == wanted, f"{strategy}, within bounds"


NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAILY = {
    "entities": {"customer": "id"},
    "features": ["amount", "payload", "tags", "seen", "clock", "day", "place"],
    "ttl": "1d",
}


@pytest.fixture
def project(server, tmp_path):
    made = SparkProject(tmp_path, server.url)
    rows = {
        "id": ["a", "a", "b"],
        "at": [NOON - 2 * HOUR, NOON, NOON - 30 * HOUR],
        "amount": pyarrow.array([Decimal("1.50"), Decimal("2.50"), Decimal("9.00")], pyarrow.decimal128(10, 2)),
        "payload": [b"\x00\xff", b"", None],
        "tags": [["x", None], [], None],
        "seen": pyarrow.array([NOON, None, NOON], pyarrow.timestamp("us", tz="UTC")),
        "clock": pyarrow.array([datetime(2024, 3, 31, 2, 30), None, None], pyarrow.timestamp("us")),
        "day": [date(2024, 1, 1), None, None],
        "place": [{"Lat lon": 1.5, "n": 1}, None, None],
    }
    rows["at"] = pyarrow.array(rows["at"], pyarrow.timestamp("us", tz="UTC"))
    made.model("spend", pyarrow.table(rows), event_time="at", meta={"feature_view": DAILY})
    made.service("churn", {"spend": DAILY["features"]}, ["spend"])
    moments = pyarrow.array([NOON - HOUR, NOON, NOON, NOON], pyarrow.timestamp("us", tz="UTC"))
    made.spine = pyarrow.table({"id": ["a", "a", "b", "c"], "event_timestamp": moments, "label": [1, 2, 3, 4]})
    made.model("asked", made.spine, event_time="event_timestamp")
    return made


def spine_of(kind, project):
    if kind == "file":
        pyarrow.parquet.write_table(project.spine, project.folder / "spine.parquet")
        return {"spine": project.folder / "spine.parquet"}
    if kind == "query":
        return {"spine_sql": f"select * from parquet.`{project.folder}/asked.parquet`"}
    return {"spine": "asked" if kind == "model" else project.spine}


@pytest.mark.parametrize("kind", ["file", "frame", "model", "query"])
def test_a_training_set_holds_every_type_exactly_whatever_the_spine_is(project, kind):
    table = project.open().get_training_set("churn", **spine_of(kind, project)).collect().table
    first, second, third, fourth = sorted(table.to_pylist(), key=lambda row: row["label"])
    assert first["amount"] == Decimal("1.50")
    assert first["payload"] == b"\x00\xff"
    assert first["tags"] == ["x", None]
    assert (first["seen"], first["clock"], first["day"]) == (NOON, datetime(2024, 3, 31, 2, 30), date(2024, 1, 1))
    assert first["place"] == {"Lat lon": 1.5, "n": 1}
    assert (second["amount"], second["payload"], second["tags"]) == (Decimal("2.50"), b"", [])
    assert third["amount"] is None  # 30 hours old, with a TTL of a day
    assert fourth["amount"] is None
    assert table.schema.field("seen").type == pyarrow.timestamp("us", tz="UTC")
    assert table.schema.field("clock").type == pyarrow.timestamp("us")
