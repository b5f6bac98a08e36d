"""The log of served vectors: what it holds, what it drops, and that a request never notices it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy
import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest

from feature_sync import AsyncFeatureClient, FeatureClient, FeatureStore, RequestError, ServedLog
from feature_sync.serving.card import Card
from feature_sync.serving.sampling import EntityHash
from tests.support import emulator
from tests.support.gateway import Gateway
from tests.support.served import PREFIX, SERVICE, VALUES, Orders

ENTITIES = 10_000
SCHEMA = "https://schemas.getdbt.com/dbt/manifest/v12.json"
CARD = Card(service=SERVICE, keys=(("order_id", "int64"),), selections=())


@pytest.fixture
def orders(redis_url):
    """Orders 1 to 100, of which 2 has only nulls; there is no order 101."""
    made = Orders(redis_url)
    made.put(*range(1, 101))
    made.put(2, values=dict.fromkeys(VALUES))
    yield made
    made.close()


class Kept(list):
    """A sink that keeps the tables, and fails or waits as told."""

    def __init__(self):
        super().__init__()
        self.error: Exception | None = None
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.is_asked = threading.Event()

    def __call__(self, table):
        self.is_asked.set()
        assert self.may_go_on.wait(30)
        if self.error is not None:
            raise self.error
        self.append(table)

    @property
    def ids(self):
        return [key for table in self for key in table["order_id"].to_pylist()]


def client_of(url, log, **options):
    return FeatureClient(url, SERVICE, prefix=PREFIX, timeout=10, log=log, **options)


def written_in(folder):
    """All vectors in a folder, in the order of the keys."""
    tables = [pyarrow.parquet.read_table(path) for path in sorted(Path(folder).glob("*.parquet"))]
    return sorted((row for table in tables for row in table.to_pylist()), key=lambda row: row["order_id"] or 0)


# Which vectors


@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.5, 1])
@pytest.mark.parametrize("written", [str, "{:08}".format, "user-{}".format, lambda at: str(at * 64)])
def test_a_share_of_the_entities_is_in_the_sample(share, written):
    hashed = EntityHash(Card(service=SERVICE, keys=(("name", "string"),), selections=()))
    sampled = sum(hashed({"name": written(at)}) < round(share * 2**32) for at in range(ENTITIES))
    spread = 4 * (share * (1 - share) * ENTITIES) ** 0.5
    assert abs(sampled - share * ENTITIES) <= spread


def test_an_entity_is_the_same_however_its_keys_are_written():
    hashed = EntityHash(CARD)
    assert {hashed({"order_id": each}) for each in (7, "7", 7.0, numpy.int64(7), numpy.int8(7))} == {
        hashed({"order_id": 7})
    }
    words = EntityHash(Card(service=SERVICE, keys=(("a", "string"), ("b", "decimal")), selections=()))
    assert words({"a": numpy.str_("x|y"), "b": "1.50"}) == words({"a": "x|y", "b": 1.5})
    assert words({"b": 1, "a": "\ud800"}) == words({"a": "\ud800", "b": "1.0"})
    assert words({"a": None, "b": None}) == words({"a": float("nan"), "b": None})


def test_the_hash_never_changes_so_that_services_in_any_process_sample_the_same():
    assert EntityHash(CARD)({"order_id": 7}) == zlib.crc32(b"7") == 0x6ABF4A82


def test_the_same_entities_are_logged_by_every_client_and_every_form_of_request(orders, redis_url):
    found = []
    for ask in (
        lambda client: [client.get(order_id=each) for each in range(1, 101)],
        lambda client: [client.get({"order_id": str(each)}) for each in range(1, 101)],
        lambda client: client.get_many([*range(1, 101)]),
        lambda client: client.get_many(pyarrow.table({"order_id": [*range(1, 101)]})),
    ):
        sink = Kept()
        with ServedLog(sink, share=0.3) as log, client_of(redis_url, log) as client:
            ask(client)
        found.append(sorted(map(int, sink.ids)))
    assert 10 < len(found[0]) < 60
    assert found == [found[0]] * 4


@pytest.mark.parametrize(("share", "logged"), [(0, 0), (1, 100)])
def test_none_or_all_are_logged(orders, redis_url, share, logged):
    sink = Kept()
    with ServedLog(sink, share=share) as log, client_of(redis_url, log) as client:
        client.get_many([*range(1, 101)])
    assert (len(sink.ids), log.written, log.pending, log.dropped, log.failed) == (logged, logged, 0, 0, 0)


@pytest.mark.parametrize("wrong", [{"share": 1.1}, {"share": -0.1}, {"share": "1"}, {"rows_per_file": 0},
                                   {"seconds_per_file": 0}, {"most_pending": 0}, {"share": float("nan")}])  # fmt: skip
def test_numbers_that_make_no_sense_are_refused(tmp_path, wrong):
    with pytest.raises(RequestError, match=r"is a number of at least"):
        ServedLog.to_folder(tmp_path, **wrong)


# What is written


def test_a_file_holds_exactly_what_was_served(orders, redis_url, tmp_path):
    before = datetime.now(UTC)
    with ServedLog.to_folder(tmp_path / "new" / "served", share=1) as log, client_of(redis_url, log) as client:
        vectors = [client.get(order_id=each) for each in (1, 2, 101)]
        training = client.get_many([1]).to_arrow()
    (path,) = (tmp_path / "new" / "served").iterdir()
    assert re.fullmatch(rf"{SERVICE}-\d{{8}}T\d{{6}}\.\d{{6}}Z-{os.getpid()}-0\.parquet", path.name)
    table = pyarrow.parquet.read_table(path)
    assert table.column_names == ["served_at", "service", "shape", "logic", "order_id", *VALUES, "statuses"]
    assert table.select([*VALUES]).schema.equals(training.schema)
    assert table.schema.field("served_at").type == pyarrow.timestamp("us", tz="UTC")
    assert table.schema.field("order_id").type == pyarrow.int64()
    known, nulls, missing, _ = table.to_pylist()
    assert {name: known[name] for name in VALUES} == {name: value for name, (_, _, value) in VALUES.items()}
    assert {name: known[name] for name in VALUES} == vectors[0].to_dict()
    for row, status in ((nulls, "null"), (missing, "missing")):
        assert [row[name] for name in VALUES] == [None] * len(VALUES)
        assert json.loads(row["statuses"]) == dict.fromkeys(VALUES, status)
    assert known["statuses"] == "{}"
    assert [known["order_id"], nulls["order_id"], missing["order_id"]] == [1, 2, 101]
    pin = vectors[0].card.pin
    assert {(row["service"], row["shape"], row["logic"]) for row in table.to_pylist()} == {
        (SERVICE, pin.shape, "logic")
    }
    assert before - timedelta(seconds=1) <= known["served_at"] <= missing["served_at"] <= datetime.now(UTC)


def test_keys_are_those_of_the_request_even_if_the_caller_changes_its_mapping(orders, redis_url):
    sink, entity = Kept(), {"order_id": "1"}
    with ServedLog(sink, share=1) as log, client_of(redis_url, log) as client:
        client.get(entity)
        entity["order_id"] = 2
        client.get(entity)
        client.get(order_id=None)
        client.get_many(["no number"], on_error="null")
    assert sink.ids == [1, 2, None, None]
    assert json.loads(sink[0]["statuses"][3].as_py())["whole"] == "invalid"


def test_a_feature_keeps_its_name_where_the_log_has_a_column_of_that_name(redis_url):
    orders, sink = Orders(redis_url, keys={"service": "string"}, names=["whole"]), Kept()
    orders.put("b")
    with ServedLog(sink, share=1) as log, client_of(redis_url, log) as client:
        client.get(service="b")
    (row,) = sink[0].to_pylist()
    assert (row["_service"], row["service"], row["whole"]) == (SERVICE, "b", 7)
    orders.close()


def test_a_changed_card_starts_a_new_file(orders, redis_url, tmp_path):
    with ServedLog.to_folder(tmp_path, share=1) as log, client_of(redis_url, log) as client:
        client.get(order_id=1)
        orders.publish(["whole", "real"])
        orders.put(3)
        client.get(order_id=3)
        orders.publish(["whole", "real"], logic="other")
        client.get(order_id=3)
    tables = [pyarrow.parquet.read_table(path) for path in tmp_path.iterdir()]
    assert sorted((table.num_columns, table["logic"][0].as_py()) for table in tables) == [
        (8, "logic"), (8, "other"), (6 + len(VALUES), "logic"),
    ]  # fmt: skip
    assert len({table["shape"][0].as_py() for table in tables}) == 2


def test_a_file_holds_at_most_so_many_vectors(orders, redis_url, tmp_path):
    log = ServedLog.to_folder(tmp_path, share=1, rows_per_file=40)
    with log, client_of(redis_url, log) as client:
        client.get_many([*range(1, 101)])
    assert all(pyarrow.parquet.read_metadata(path).num_rows <= 40 for path in tmp_path.iterdir())
    assert [row["order_id"] for row in written_in(tmp_path)] == [*range(1, 101)]


def test_a_vector_waits_only_so_long(orders, redis_url, tmp_path):
    def threads():
        return [each for each in threading.enumerate() if each.name == "feature-sync-log"]

    before = threads()
    log = ServedLog.to_folder(tmp_path, share=1, seconds_per_file=0.1)
    with client_of(redis_url, log) as client:
        client.get(order_id=1)
    assert _soon(lambda: written_in(tmp_path))
    assert _soon(lambda: threads() == before)  # idle, so that a log nobody holds is freed
    with client_of(redis_url, log) as client:
        client.get(order_id=2)
    assert _soon(lambda: len(written_in(tmp_path)) == 2)


def test_asyncio_logs_the_same(orders, redis_url, tmp_path):
    log = ServedLog.to_folder(tmp_path, share=1)

    async def ask():
        async with AsyncFeatureClient(redis_url, SERVICE, prefix=PREFIX, timeout=10, log=log) as client:
            await asyncio.gather(*(client.get(order_id=each) for each in range(1, 51)))
            await client.get_many([*range(51, 101)])

    asyncio.run(ask())
    assert log.close()
    assert [row["order_id"] for row in written_in(tmp_path)] == [*range(1, 101)]


# When the sink is slow or fails


def test_a_slow_sink_drops_and_counts_what_is_too_much(orders, redis_url):
    sink = Kept()
    sink.may_go_on.clear()
    log = ServedLog(sink, share=1, rows_per_batch=10, most_pending=50)
    with client_of(redis_url, log) as client:
        for each in range(1, 101):
            client.get(order_id=each)
        assert sink.is_asked.wait(10)
        assert (log.written, log.pending, log.dropped) == (0, 50, 50)
        assert not log.flush(0.05)
        sink.may_go_on.set()
        assert log.flush(10)
        client.get(order_id=1)
    assert log.close()
    assert (log.written, log.pending, log.dropped, log.failed) == (51, 0, 50, 0)
    assert sink.ids == [*range(1, 51), 1]


def test_a_failing_sink_is_reported_once_and_tried_again(orders, redis_url, caplog):
    sink = Kept()
    sink.error = OSError("no space")
    log = ServedLog(sink, share=1)
    with client_of(redis_url, log) as client, caplog.at_level(logging.WARNING):
        for each in (1, 2, 3):
            client.get(order_id=each)
            assert not log.flush(10)
        assert (log.failed, log.pending, log.written) == (3, 3, 0)
        assert [record.message for record in caplog.records] == [
            "served vectors: OSError('no space'); vectors wait, and up to 10000 are tried again"
        ]
        sink.error = None
        assert log.flush(10)
        sink.error = OSError("no space")
        client.get(order_id=4)
        assert not log.close()
    assert (log.failed, log.pending, log.written, len(caplog.records)) == (4, 1, 3, 2)
    assert sink.ids == [1, 2, 3]


def test_a_table_that_fails_does_not_keep_those_of_another_card_back(orders, redis_url):
    tables = []

    def sink(table):
        if table.num_columns == 6 + len(VALUES):
            raise OSError("too wide")
        tables.append(table)

    log = ServedLog(sink, share=1)
    with client_of(redis_url, log) as client:
        client.get(order_id=1)
        orders.publish(["whole"])
        client.get(order_id=3, on_error="null")
    assert not log.close()
    assert (len(tables), log.written, log.pending) == (1, 1, 1)


def test_a_value_that_does_not_fit_drops_its_own_vector_alone(orders, redis_url, caplog):
    orders.put(3, values={"exact": "123456789012.5"})
    sink = Kept()
    with ServedLog(sink, share=1) as log, client_of(redis_url, log) as client:
        client.get_many([1, 2, 3, 4])
    assert (sorted(sink.ids), log.written, log.dropped, log.pending) == ([1, 2, 4], 3, 1, 0)
    assert "exact holds a value that is not decimal128(10, 2)" in caplog.text


def test_a_folder_that_cannot_be_written_fails_no_request(orders, redis_url, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    log = ServedLog.to_folder(tmp_path / "file", share=1)
    with client_of(redis_url, log) as client:
        assert client.get(order_id=1)["whole"] == 7
        assert not log.flush(10)
        assert "cannot be written" in caplog.text
        (tmp_path / "file").unlink()
        assert log.close()
    assert [row["order_id"] for row in written_in(tmp_path / "file")] == [1]


@pytest.mark.skipif(os.getuid() == 0, reason="root writes to a read-only folder")
def test_a_read_only_folder_fails_no_request(orders, redis_url, tmp_path, caplog):
    tmp_path.chmod(0o500)
    log = ServedLog.to_folder(tmp_path, share=1)
    with client_of(redis_url, log) as client:
        assert client.get(order_id=1)["whole"] == 7
    assert not log.close()
    assert "Permission denied" in caplog.text
    tmp_path.chmod(0o700)


# Threads and processes


def test_threads_share_a_log(orders, redis_url, tmp_path):
    log = ServedLog.to_folder(tmp_path, share=1, rows_per_file=50, most_pending=100_000)
    with client_of(redis_url, log) as client, ThreadPoolExecutor(8) as pool:

        def ask(_):
            for each in range(1, 101):
                client.get(order_id=each)

        list(pool.map(ask, range(8)))
    assert log.close()
    assert (log.written, log.dropped, log.pending) == (800, 0, 0)
    assert [row["order_id"] for row in written_in(tmp_path)] == sorted([*range(1, 101)] * 8)


def test_a_copy_has_the_configuration_alone(orders, redis_url, tmp_path):
    log = ServedLog.to_folder(tmp_path, share=1)
    client = client_of(redis_url, log)
    client.get(order_id=1)
    copied, copy = pickle.loads(pickle.dumps((log, client)))
    assert (copied.pending, repr(copied)) == (0, repr(log))
    copy.get(order_id=2)
    assert copied.close()
    assert [row["order_id"] for row in written_in(tmp_path)] == [2]
    assert log.close()
    assert [row["order_id"] for row in written_in(tmp_path)] == [1, 2]
    client.close()
    copy.close()


PROGRAM = """
import os, sys, time
from feature_sync import FeatureClient, ServedLog
url, service, prefix, folder = sys.argv[1:5]
log = ServedLog.to_folder(folder, share=1, rows_per_file=20, seconds_per_file=60)
client = FeatureClient(url, service, prefix=prefix, timeout=10, log=log)
"""


def run(url, folder, program):
    arguments = [sys.executable, "-c", PROGRAM + program, url, SERVICE, PREFIX, str(folder)]
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )


def run_whole(url, folder, program):
    with run(url, folder, program) as process:
        written, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return written


def test_what_is_pending_is_written_at_exit(orders, redis_url, tmp_path):
    program = "client.get(order_id=1)\nlog.flush(30)\nclient.get(order_id=2)\n"
    run_whole(redis_url, tmp_path, program)
    assert [row["order_id"] for row in written_in(tmp_path)] == [1, 2]


def test_an_exit_waits_only_a_second_for_a_sink(orders, redis_url, tmp_path):
    program = "log._sink = lambda table: time.sleep(600)\nclient.get(order_id=1)\nprint(time.time(), flush=True)\n"
    began = float(run_whole(redis_url, tmp_path, program))
    assert time.time() - began < 15  # a loaded machine takes its time to end a process


def test_forked_workers_write_files_of_their_own(orders, redis_url, tmp_path):
    program = """
client.get(order_id=100)
children = []
for child in range(4):
    if (pid := os.fork()) == 0:
        assert log.pending == 0
        for each in range(1, 21):
            client.get(order_id=each + 20 * child)
        assert log.close(30)
        os._exit(0)
    children.append(pid)
assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
assert log.close(30) and log.written == 1
"""
    run_whole(redis_url, tmp_path, program)
    assert [row["order_id"] for row in written_in(tmp_path)] == [*range(1, 81), 100]
    assert len({path.name.split("-")[-2] for path in tmp_path.iterdir()}) == 5


def test_a_killed_process_leaves_only_whole_files(orders, redis_url, tmp_path):
    program = """
print("begun", flush=True)
while True:
    for each in range(1, 101):
        client.get(order_id=each)
"""
    for kill in range(5):
        folder = tmp_path / str(kill)
        process = run(redis_url, folder, program)
        assert process.stdout.readline() == "begun\n"
        assert _soon(lambda folder=folder: [*folder.glob("*.parquet")] if folder.exists() else [])
        time.sleep(0.01 * kill)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        process.stdout.close()
        assert all(row["whole"] in (7, None) for row in written_in(folder))
        assert {path.suffix for path in folder.iterdir()} <= {".parquet", ".partial"}
        assert all(path.name.startswith(".") for path in folder.glob("*.partial"))
        assert pyarrow.dataset.dataset(folder).count_rows() == len(written_in(folder))


# Tables of a warehouse


@pytest.fixture(scope="module")
def gateway(bigquery):
    with Gateway(bigquery) as opened:
        yield opened


@pytest.fixture(params=["duckdb", "postgres"])
def store(request, tmp_path, monkeypatch):
    """A project without models, and a function that reads the table `ml.served`."""
    outputs = {"type": "duckdb", "path": "shop.duckdb", "schema": "main"}
    if request.param == "bigquery":
        gateway = request.getfixturevalue("gateway")
        emulator.run(gateway.target, "create schema if not exists other")  # dbt's own dataset
        endpoint = gateway.environment["FEATURE_SYNC_BIGQUERY_ENDPOINT"]
        outputs = {"type": "bigquery", "method": "oauth-secrets", "token": "unused", "api_endpoint": endpoint}
        outputs |= {"project": emulator.PROJECT, "dataset": "other"}
    elif request.param == "postgres":
        server = request.getfixturevalue("postgres")
        outputs = {"type": "postgres", **server.target.settings}
        with server.connect() as connection:
            connection.execute("drop schema if exists ml cascade")
    else:
        duckdb.connect(str(tmp_path / "shop.duckdb")).close()
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\nversion: 1.0.0\n")
    profiles = {"shop": {"target": "here", "outputs": {"here": {"threads": 1, **outputs}}}}
    (tmp_path / "profiles.yml").write_text(json.dumps(profiles))
    (tmp_path / "target").mkdir()
    manifest = {
        "metadata": {"dbt_schema_version": SCHEMA, "adapter_type": request.param, "project_name": "shop"},
        "nodes": {},
        "sources": {},
    }
    (tmp_path / "target" / "manifest.json").write_text(json.dumps(manifest))
    return FeatureStore(tmp_path, profiles_dir=tmp_path)


def read(store, query):
    with store.connections.open_warehouse() as warehouse, warehouse.arrow(query, batch_size=1000) as reader:
        return reader.read_all()


def change(store, *statements):
    with store.connections.open_warehouse(writable=True) as warehouse, warehouse.transaction():
        for each in statements:
            warehouse.execute(each)


@pytest.mark.parametrize("store", ["duckdb", "postgres", "bigquery"], indirect=True)
def test_a_table_holds_what_was_served(orders, redis_url, store):
    is_emulated = store.target.adapter == "bigquery"
    names = [name for name in VALUES if name != "wide" or not is_emulated]  # the emulator has no BIGNUMERIC
    orders.publish(names)
    orders.put(1)
    orders.put(2, values=dict.fromkeys(VALUES))
    log = ServedLog.to_table(store, "ml.served", share=1, rows_per_batch=2)
    with client_of(redis_url, log) as client:
        client.get(order_id=1)
        assert log.flush(30)
        client.get_many([2, 101])
        assert log.close(30), log.failed
    table = read(store, "select * from ml.served order by order_id")
    assert table.column_names == ["served_at", "service", "shape", "logic", "order_id", *names, "statuses"]
    known, nulls, missing = table.to_pylist()
    expected = {name: VALUES[name][2] for name in names}
    expected |= {
        "raw": "ff",
        "numbers": "[1,null]",
        "service": SERVICE,
        "logic": "logic",
        "order_id": 1,
        "statuses": "{}",
    }
    assert {name: known[name] for name in expected} == expected
    assert abs(datetime.now(UTC) - known["served_at"]) < timedelta(minutes=5)
    assert [nulls[name] for name in names] == [missing[name] for name in names] == [None] * len(names)
    assert json.loads(missing["statuses"]) == dict.fromkeys(names, "missing")
    types = dict(zip(table.column_names, table.schema.types, strict=True))
    assert types["served_at"] == types["instant"]
    assert types["day"] == pyarrow.date32()
    assert types["exact"] == (pyarrow.decimal128(38, 9) if is_emulated else pyarrow.decimal128(10, 2))


def test_a_table_with_other_columns_is_an_error_of_the_sink_that_names_them(orders, redis_url, store, caplog):
    change(
        store,
        "create schema ml",
        "create table ml.served (served_at timestamp with time zone, service integer, more integer)",
    )
    log = ServedLog.to_table(store, "ml.served", share=1)
    with client_of(redis_url, log) as client:
        assert client.get(order_id=1)["whole"] == 7
        assert not log.flush(30)
    assert (log.failed, log.pending) == (1, 1)
    assert "the table ml.served has other columns than what is served (service is int" in caplog.text.lower()
    assert "shape" in caplog.text
    change(store, "drop table ml.served")
    assert log.close(30)
    assert read(store, "select count(*) as n from ml.served").to_pylist() == [{"n": 1}]


def test_a_changed_card_needs_another_table(orders, redis_url, store, caplog):
    log = ServedLog.to_table(store, "ml.served", share=1)
    with client_of(redis_url, log) as client:
        client.get(order_id=1)
        assert log.flush(30)
        orders.publish(["whole"])
        client.get(order_id=101)
        assert not log.close(30)
    assert "flag is not served" in caplog.text
    assert (log.written, log.pending) == (1, 1)


def test_the_name_of_a_table_has_a_schema(store):
    with pytest.raises(RequestError, match=r'such as "ml.served", and not'):
        ServedLog.to_table(store, "served")


def test_a_log_to_a_table_can_be_pickled(orders, redis_url, store):
    log = pickle.loads(pickle.dumps(ServedLog.to_table(store, "ml.served", share=1)))
    with log, client_of(redis_url, log) as client:
        client.get(order_id=1)
    assert log.written == 1


def _soon(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found
