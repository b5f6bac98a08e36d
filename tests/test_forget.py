"""Where the values of one entity are: found in Redis, in the warehouse and in files, until they are gone from each."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from datetime import date, datetime

import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest
import redis

from feature_sync import FeatureStore
from feature_sync.errors import RequestError, UnknownName
from feature_sync.forgetting.traces import Place
from feature_sync.online.redis.users import auditor
from feature_sync.online.streams import Position
from feature_sync.value_types import to_microseconds
from tests.support.streamed import NOON, PREFIX, StreamedOrders
from tests.support.unbuilt import UnbuiltProject

ROWS = "select * from (values (1, 'a', 10), (1, 'b', 20), (2, 'a', 30), (11, '1', 40)) as rows(customer, shop, amount)"


@pytest.fixture(params=["duckdb", "postgres"])
def project(request, tmp_path):
    """Customers by themselves, and by shop; a view of shops alone, and one that is not pushed."""
    on = request.param != "duckdb" and request.getfixturevalue("postgres").environment
    made = UnbuiltProject(tmp_path, login=on or None, schema="forgetting")
    customers, both = {"customer": "customer"}, {"customer": "customer", "shop": "shop"}
    last = f"select customer, max(amount) as total from ({ROWS}) as r group by customer"
    made.model("totals", last, meta={"feature_view": {"entities": customers, "timeless": True, "features": ["total"]}})
    made.model("visits", ROWS, meta={"feature_view": {"entities": both, "timeless": True, "features": ["amount"]}})
    offline = {"entities": customers, "timeless": True, "features": ["total"], "online": False}
    made.model("scores", last.replace("total", "total"), meta={"feature_view": offline})
    shops = {"entities": {"shop": "shop"}, "timeless": True, "features": ["amount"]}
    made.model("shops", "select 'a' as shop, 1 as amount", meta={"feature_view": shops})
    yield made
    made.drop()


@pytest.fixture
def store(project, redis_url):
    with closing(project.open(redis_url)) as opened:
        yield opened


def places(traces) -> Counter:
    return Counter({each: traces.rows_in(each) for each in Place if traces.rows_in(each)})


def test_an_entity_is_found_in_every_place_until_it_is_gone(project, store, redis_url):
    store.push(gate=False)
    with redis.Redis.from_url(redis_url) as client:
        held = {key.decode() for key in client.scan_iter("unbuilt:*{*") if b"{1}" in key or b"{1|" in key}
    traces = store.forget("customer", 1)
    assert held == {each.name for each in traces.traces if each.place == Place.REDIS}
    assert held == {"unbuilt:totals:{1}", "unbuilt:visits:{1|a}", "unbuilt:visits:{1|b}"}
    assert places(traces) == {Place.REDIS: 3, Place.MODEL: 4, Place.PUSH_TABLE: 3}
    assert traces.problems == ()
    for table in ("totals", "visits", "scores"):
        project.run(f"delete from {{schema}}.{table} where customer = 1")
    assert places(store.forget("customer", "customer=1")) == {Place.REDIS: 3, Place.PUSH_TABLE: 3}
    store.push(gate=False, allow_removals=True)
    gone = store.forget("customer", 1)
    assert (places(gone), gone.is_forgotten) == ({}, True)
    assert places(store.forget("customer", 2)) == {Place.REDIS: 2, Place.MODEL: 3, Place.PUSH_TABLE: 2}
    assert places(store.forget("customer", 11))[Place.REDIS] == 2


def test_the_other_key_of_a_view_finds_its_rows_too(store):
    store.push(gate=False)
    traces = store.forget("shop", "1")
    assert [each.name for each in traces.traces if each.place == Place.REDIS] == ["unbuilt:visits:{11|1}"]
    assert places(store.forget("shop", "a"))[Place.REDIS] == 3


def test_a_view_that_the_project_no_longer_defines_is_found_in_redis(project, store, redis_url):
    store.push(gate=False)
    project.nodes.pop("model.unbuilt.totals")
    with closing(project.open(redis_url)) as later:
        found = {each.name: each.cure for each in later.forget("customer", 1).traces if each.place == Place.REDIS}
        assert "--prune" in found["unbuilt:totals:{1}"]
        later.push(gate=False, prune=True)
        assert "unbuilt:totals:{1}" not in {each.name for each in later.forget("customer", 1).traces}


def test_the_journal_names_a_row_that_the_stream_deleted_and_the_topics_are_listed(tmp_path, redis_url):
    orders = StreamedOrders(tmp_path / "shop", redis_url, dead_letter_topic="dead")
    orders.push({0: 5}, (1, 0, 1.0, "a"), (2, 0, 2.0, "b"))
    later = to_microseconds(NOON) + 1_000_000
    key = f"{PREFIX}:orders:{{1}}".encode()
    with closing(FeatureStore(orders.folder, profiles_dir=orders.folder, redis_url=redis_url)) as opened:
        assert Place.JOURNAL not in places(opened.forget("order", 1))
        orders.client.hset(f"{PREFIX}:orders:journal", key, Position(later, 0, 7).pack())
        orders.client.delete(key)
        traces = opened.forget("order", 1)
        assert places(opened.forget("order", 2)).get(Place.JOURNAL) is None
    assert places(traces) == {Place.JOURNAL: 1}
    assert [each.name for each in traces.traces if each.place == Place.MESSAGES] == ["topic orders", "topic dead"]
    assert [each for keys in orders.online.journal_keys() for each in keys] == [key]


def test_an_auditor_may_read_a_journal(redis_url):
    rules = auditor(PREFIX)
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command("ACL", "SETUSER", rules.name, *rules.rules("nopass"))
        try:
            journal = f"{PREFIX}:orders:journal"
            for command in (("HSCAN", journal, "0"), ("HMGET", journal, "key"), ("HLEN", journal)):
                assert client.execute_command("ACL", "DRYRUN", rules.name, *command) == b"OK"
        finally:
            client.execute_command("ACL", "DELUSER", rules.name)


KEYS = [
    ("bigint", "7", 7, "7"),
    ("boolean", "true", "true", "true"),
    ("date", "'2024-02-29'", "2024-02-29", "2024-02-29"),
    ("timestamp", "'2024-02-29 12:00:00.000001'", "2024-02-29T12:00:00.000001", None),
    ("decimal(10, 2)", "1.50", "1.5", "1.5"),
    ("uuid", "'00000000-0000-0000-0000-00000000000a'", "00000000-0000-0000-0000-00000000000A", None),
    ("varchar", "'o''b%|{}\\'", "o'b%|{}\\", None),
    ("varchar", "''", "", "%"),
]


@pytest.mark.parametrize(
    ("kind", "literal", "asked", "text", "with_another"),
    [
        pytest.param(*case, with_another, id=f"{case[0]} {case[2]}{' and another' if with_another else ''}")
        for case in KEYS
        for with_another in ([False, True] if case[0] in ("varchar", "decimal(10, 2)") else [False])
    ],
)
def test_a_key_of_any_type_is_found(tmp_path, redis_url, kind, literal, asked, text, with_another):
    project = UnbuiltProject(tmp_path)
    entities = {"thing": "id", "other": "part"} if with_another else {"thing": "id"}
    block = {"entities": entities, "timeless": True, "features": ["one"]}
    project.model(
        "things", f"select cast({literal} as {kind}) as id, 'p' as part, 1 as one", meta={"feature_view": block}
    )
    with closing(project.open(redis_url)) as store:
        store.push(gate=False)
        traces = store.forget("thing", asked)
        assert traces.problems == ()
        assert places(traces) == {Place.REDIS: 1, Place.MODEL: 1, Place.PUSH_TABLE: 1}
        if text is not None and not with_another:
            assert next(each.name for each in traces.traces) == f"unbuilt:things:{{{text}}}"


def test_files_are_searched_by_the_names_of_the_keys(store, tmp_path):
    store.push(gate=False)
    folder = tmp_path / "kept" / "deeper"
    folder.mkdir(parents=True)
    rows = {"customer": [1, 1, 2], "shop": ["a", "b", "a"], "at": [datetime(2024, 1, 1)] * 3}
    pyarrow.parquet.write_table(pyarrow.table(rows), folder / "served.parquet")
    pyarrow.csv.write_csv(pyarrow.table(rows), tmp_path / "kept" / "training.csv")
    pyarrow.parquet.write_table(pyarrow.table({"day": [date(2024, 1, 1)]}), folder / "other.parquet")
    (folder / "damaged.parquet").write_bytes(b"PAR1")
    traces = store.forget("customer", 1, files=[str(tmp_path / "kept")])
    found = {each.name.rpartition("/")[2]: each.rows for each in traces.traces if each.place == Place.FILE}
    assert found == {"served.parquet": 2, "training.csv": 2}
    assert len(traces.problems) == 1
    assert "damaged.parquet cannot be searched" in traces.problems[0]
    assert not traces.is_forgotten
    with pytest.raises(RequestError, match="nowhere does not exist"):
        store.forget("customer", 1, files=[str(tmp_path / "nowhere")])


@pytest.mark.parametrize(
    ("entity", "keys", "kind", "reason"),
    [
        ("custmer", ["1"], UnknownName, "did you mean 'customer'"),
        ("customer", ["1", "2"], RequestError, "identified by customer, each once, not by 2 values"),
        ("customer", ["customer=1", "customer=2"], RequestError, "each once"),
        ("customer", ["costumer=1"], UnknownName, "no key of customer is called 'costumer'; did you mean 'customer'"),
        ("shop", ["a=b"], UnknownName, "no key of shop is called 'a'"),
        ("customer", ["x"], RequestError, "customer: 'x' is not"),
    ],
)
def test_what_makes_no_sense_is_refused(store, entity, keys, kind, reason):
    store.push(gate=False)
    with pytest.raises(kind, match=reason):
        store.forget(entity, *keys)


def test_it_says_what_could_not_be_searched(project, store):
    store.push(gate=False)
    project.run("drop table {schema}.scores")
    traces = store.forget("customer", 1)
    assert any("scores" in each for each in traces.problems)
    assert places(traces)[Place.MODEL] == 3
    project.run("create table {schema}.scores as select 3 as customer, 1 as total")


def test_the_example_says_what_a_view_is_built_of_and_exits_3_until_nothing_is_left(example, redis_url):
    environment = {"FEATURE_SYNC_REDIS_URL": redis_url}
    assert example.feature_sync("push", **environment).returncode == 0
    shown = example.feature_sync("forget", "airport", "JFK", "--json", **environment)
    document = json.loads(shown.stdout)
    assert (shown.returncode, document["is_forgotten"]) == (3, False)
    upstream = [each for each in document["traces"] if each["place"] == "upstream"]
    assert upstream
    assert all(each["found_count"] is None for each in upstream)
    assert len({each["name"] for each in upstream}) == len(upstream)
    table = example.feature_sync("forget", "airport", "JFK", **environment)
    assert "feature_sync:airport_weather:{JFK}" in table.stdout
    nobody = example.feature_sync("forget", "airport", "XXX", **environment)
    assert nobody.returncode == 0, nobody.stdout + nobody.stderr
    assert "airport airport=XXX: nothing left in Redis" in nobody.stdout
