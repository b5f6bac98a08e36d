"""Hudi, Iceberg and Delta tables as sources: every version, every change, and what must never be silently old."""

from __future__ import annotations

import json
import operator
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from tests.support import oracle
from tests.support.lake import ADDED, MOMENT, VIEWS, LakeExample, LakeTable, LakeWorker, Refused
from tests.support.naive import differences, read_table

pytestmark = pytest.mark.slow
FORMATS = ("hudi", "iceberg", "delta")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
COMMIT = r"[0-9a-f-]+_0-1-0_\d+\.parquet"


@pytest.fixture(scope="module")
def worker():
    started = LakeWorker()
    yield started
    started.close()


@pytest.fixture(params=FORMATS)
def table(request, worker, tmp_path):
    return LakeTable(worker, request.param, tmp_path)


@pytest.fixture
def hudi(worker, tmp_path):
    return LakeTable(worker, "hudi", tmp_path)


@pytest.fixture
def iceberg(worker, tmp_path):
    return LakeTable(worker, "iceberg", tmp_path)


@pytest.fixture
def delta(worker, tmp_path):
    return LakeTable(worker, "delta", tmp_path)


def rows(values: dict, **columns) -> pyarrow.Table:
    ids = pyarrow.array(list(values), pyarrow.int64())
    found = pyarrow.table({"id": ids, "amount": pyarrow.array(list(values.values()), pyarrow.float64())})
    for name, column in columns.items():
        found = found.append_column(name, pyarrow.array(column))
    return found


def three_commits(table: LakeTable) -> None:
    table.commit(rows({1: 10.0, 2: 20.0, 3: None}))
    table.commit(rows({2: 22.0, 4: 40.0}))
    table.commit(rows({4: 44.0}), deleted=[1])


def test_the_newest_rows_are_read_after_upserts_and_deletes(table):
    three_commits(table)
    assert table.read() == table.expected() == [
        {"id": 2, "amount": 22.0}, {"id": 3, "amount": None}, {"id": 4, "amount": 44.0}
    ]  # fmt: skip


def test_each_version_is_read_by_its_name_and_by_a_moment_as_it_was(table):
    three_commits(table)
    history = table.history()
    moments = {row["lake_version"]: row["lake_committed_at"] for row in history}
    seen = []
    for version, moment in sorted(moments.items(), key=lambda each: each[1]):
        found = table.read(as_of=version)
        assert found == table.read(as_of=moment.isoformat()) == table.read(as_of=moment + timedelta(microseconds=999))
        seen.append(found)
    # A library may commit more than once where we upsert; what we committed is there, in order.
    assert [each for each in seen if each in [table.expected(number) for number in range(3)]] == [
        table.expected(number) for number in range(3)
    ]
    with pytest.raises(Refused, match=r"as_of: no version .* can be read, or not any more: the oldest is \d+ of"):
        table.read(as_of=min(moments.values()) - timedelta(seconds=1))
    with pytest.raises(Refused, match=r"as_of: no version 777 can be read"):
        table.read(as_of=777)


def test_the_history_says_how_long_each_version_stood(table):
    three_commits(table)
    history = table.history()
    versions = sorted(
        {(row["lake_committed_at"], row["lake_replaced_at"]) for row in history}, key=operator.itemgetter(0)
    )
    assert [end for _, end in versions[:-1]] == [began for began, _ in versions[1:]]
    assert versions[-1][1] is None
    newest = [row for row in history if row["lake_replaced_at"] is None]
    assert sorted(({"id": row["id"], "amount": row["amount"]} for row in newest), key=operator.itemgetter("id")) == (
        table.expected()
    )
    since = table.history(since=table.versions()[0])
    assert [row for row in history if row["lake_committed_at"] > versions[0][0]] == since
    assert {row["lake_version"] for row in since} == set(table.versions()[1:])


def test_a_column_that_is_added_is_null_in_rows_and_versions_before(table):
    table.commit(rows({1: 10.0, 2: 20.0}))
    table.commit(rows({2: 22.0}, tier=["gold"]))
    assert table.read() == table.expected() == [
        {"id": 1, "amount": 10.0, "tier": None}, {"id": 2, "amount": 22.0, "tier": "gold"}
    ]  # fmt: skip
    first = [row for row in table.history() if row["lake_version"] == table.versions()[0]]
    assert [(row["id"], row["tier"]) for row in first] == [(1, None), (2, None)]
    assert [row["id"] for row in table.history(filters=[["tier", "=", "gold"]])] == [2]


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [pytest.param("int32", "int64", id="integer"), pytest.param("float32", "float64", id="float")],
)
def test_a_column_that_is_widened_is_wide_in_every_version(table, worker, narrow, wide):
    kinds = {name: pyarrow.type_for_alias(name) for name in (narrow, wide)}
    first, second = (
        pyarrow.table({"id": pyarrow.array(ids, pyarrow.int64()), "amount": pyarrow.array(ids, kinds[kind])})
        for ids, kind in (([1, 2], narrow), ([2, 3], wide))
    )
    table.commit(first)
    if table.format == "delta":  # deltalake widens by rewriting
        both = pyarrow.concat_tables([first, second.slice(1)], promote_options="permissive")
        worker.ask("rewrite_delta", table.path, both)
        table.held.append({**table.held[0], 3: {"id": 3, "amount": 3}})
    else:
        table.commit(second)
    assert table.read() == table.expected()
    found = worker.read(table.meta(history=True), table.config)
    assert found.schema.field("amount").type == kinds[wide]
    assert sorted(set(found.column("amount").to_pylist())) == [1, 2, 3]


@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        (["amount", "=", 20], lambda row: row["amount"] == 20),
        (["amount", "!=", 20], lambda row: row["amount"] not in (20, None)),
        (["amount", ">=", 20.0], lambda row: (row["amount"] or 0) >= 20),
        (["id", "in", [1, 3]], lambda row: row["id"] in (1, 3)),
        (["amount", "not in", [20, 30]], lambda row: row["amount"] not in (20, 30, None)),
        (["name", "=", "b's"], lambda row: row["name"] == "b's"),
        (["name", "<", "b"], lambda row: (row["name"] or "z") < "b"),
        (["at", ">", "2026-01-01T12:00:00+00:00"], lambda row: row["at"] is not None and row["at"] > NOON),
        (["at", "<=", "2026-01-01 13:00:00+01:00"], lambda row: row["at"] is not None and row["at"] <= NOON),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_filters_mean_the_same_in_every_format_and_a_null_never_passes(worker, tmp_path, condition, passes):
    columns = {
        "id": pyarrow.array([1, 2, 3, 4], pyarrow.int64()),
        "amount": [10.0, 20.0, 30.0, None], "name": ["a", "b's", None, "é"],
        "at": pyarrow.array([NOON, NOON + timedelta(microseconds=1), None, NOON - timedelta(days=1)], MOMENT),
    }  # fmt: skip
    held = pyarrow.table(columns)
    expected = [row for row in held.to_pylist() if passes(row)]
    assert 0 < len(expected) < 4
    for kind in FORMATS:
        table = LakeTable(worker, kind, tmp_path / kind)
        table.folder.mkdir()
        table.commit(held)
        assert table.read(filters=[condition]) == expected, kind
        assert [row["id"] for row in table.read(filters=[condition], columns=["id"])] == [row["id"] for row in expected]


def test_columns_are_those_that_are_named_and_in_that_order(table, worker):
    three_commits(table)
    found = worker.read(table.meta(columns=["amount", "id"]), table.config)
    assert found.schema.names == ["amount", "id", *ADDED]
    assert worker.read(table.meta(), table.config).schema.names == ["id", "amount", *ADDED]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"columns": ["amuont"]}, r"columns: the table has no column 'amuont'; did you mean 'amount'\?"),
        ({"filters": [["amuont", "=", 1]]}, r"filters: the table has no column 'amuont'; did you mean 'amount'\?"),
        ({"filters": [["amount", "=", "much"]]}, r"compares 'amount', which is double: .*much"),
        ({"max_gigabytes": 1e-8}, r"more than 1e-08 gigabytes of rows; ask for less with `columns` and `filters`"),
        ({"hisotry": True}, r"hisotry: there is no such key; did you mean 'history'\?"),
        ({"materialization": "view"}, r"materialization: rows are read in a stream"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_a_source_asks_wrongly_is_named(table, settings, words):
    table.commit(rows({1: 10.0}))
    with pytest.raises(Refused, match=words) as refused:
        table.read(**settings)
    assert "source" in str(refused.value)


def test_a_table_that_is_not_there_is_named(table):
    with pytest.raises(Refused, match=r"source source: .*: there is no (such )?(Hudi|Iceberg|Delta) table"):
        table.read()


def test_a_table_without_rows_is_empty_and_has_its_columns(table, worker):
    table.commit(rows({1: 10.0}))
    table.commit(rows({}), deleted=[1])
    found = worker.read(table.meta(), table.config)
    assert (found.num_rows, found.schema.names) == (0, ["id", "amount", *ADDED])
    assert found.schema.field("id").type == pyarrow.int64()
    assert [row["lake_replaced_at"] is not None for row in table.history()] == [True], "the empty version ends the row"


def test_rows_that_were_written_since_are_what_only_hudi_can_tell(table):
    three_commits(table)
    if table.format == "hudi":
        return
    with pytest.raises(
        Refused, match=r"since: the format does not tell which rows were written after .*`history: true`"
    ):
        table.read(since=table.versions()[0])


# Hudi


def test_hudi_tells_which_rows_were_written_since(hudi):
    three_commits(hudi)
    first, second, third = hudi.versions()
    assert hudi.read(since=first) == [{"id": 2, "amount": 22.0}, {"id": 4, "amount": 44.0}]
    assert hudi.read(since=second) == [{"id": 4, "amount": 44.0}]
    assert hudi.read(since=first, as_of=second) == [{"id": 2, "amount": 22.0}, {"id": 4, "amount": 40.0}]
    assert hudi.read(since=third) == []
    assert [row["_hoodie_commit_time"] for row in hudi.read(since=first, columns=["id", "_hoodie_commit_time"])] == [
        second, third
    ]  # fmt: skip
    with pytest.raises(Refused, match=rf"since: version {third} is newer than {first}"):
        hudi.read(since=third, as_of=first)
    with pytest.raises(Refused, match=r"since: no version of 2020-01-01T00:00:00\+00:00 or before can be read"):
        hudi.read(since="2020-01-01")


def test_partitions_of_hudi_are_columns_and_filters(hudi):
    hudi.commit(rows({1: 1.0, 2: 2.0, 3: 3.0}, country=["NL", "BE", "NL"]), partition="country")
    hudi.commit(rows({3: 33.0}, country=["NL"]), partition="country")
    assert hudi.read() == hudi.expected()
    assert hudi.read(filters=[["country", "=", "NL"]]) == [row for row in hudi.expected() if row["country"] == "NL"]
    assert len({row["lake_version"] for row in hudi.history()}) == 2


def test_a_commit_that_is_half_written_is_not_seen(hudi):
    hudi.commit(rows({1: 10.0}))
    hudi.commit(rows({1: 11.0, 2: 20.0}))
    before = hudi.held.pop()
    (Path(hudi.path) / ".hoodie" / f"{hudi.instant(1)}.commit").unlink()
    assert hudi.read() == hudi.expected() == [{"id": 1, "amount": 10.0}]
    assert len(hudi.versions()) == 1
    assert before[2]["amount"] == 20.0


@pytest.mark.parametrize("number", [0, 1], ids=["an older version", "the newest"])
def test_a_file_that_is_cleaned_or_lost_is_an_error_and_no_older_row_answers(hudi, number):
    hudi.commit(rows({1: 10.0}))
    hudi.commit(rows({1: 11.0}))
    gone = next(Path(hudi.path).glob(f"*_{hudi.instant(number)}.parquet"))
    gone.unlink()
    with pytest.raises(Refused, match=rf"{COMMIT}, which commit {hudi.instant(number)} wrote, is gone"):
        hudi.read(as_of=hudi.instant(number))
    if number == 0:
        assert hudi.read() == hudi.expected()
        with pytest.raises(Refused, match="is gone"):
            hudi.history()


def log_of(hudi: LakeTable, instant: str, *, is_there: bool) -> str:
    """Turn the table into a merge-on-read one, and add a commit that wrote a log file."""
    base = Path(hudi.path)
    properties = base / ".hoodie" / "hoodie.properties"
    properties.write_text(properties.read_text().replace("COPY_ON_WRITE", "MERGE_ON_READ"))
    newest = max((base / ".hoodie").glob("*.commit"))
    metadata = json.loads(newest.read_text())
    written = metadata["partitionToWriteStats"][""][0]
    name = f".{written['fileId']}_{newest.stem}.log.1_0-1-0"
    written |= {"path": name, "prevCommit": newest.stem}
    if is_there:
        (base / name).write_bytes(b"#HUDI#")
    for suffix in ("deltacommit.requested", "deltacommit.inflight"):
        (base / ".hoodie" / f"{instant}.{suffix}").touch()
    (base / ".hoodie" / f"{instant}.deltacommit").write_text(json.dumps(metadata))
    return name


@pytest.mark.parametrize("is_there", [True, False], ids=["there", "lost"])
def test_log_files_of_a_merge_on_read_table_are_refused_by_name(hudi, is_there):
    hudi.commit(rows({1: 10.0}))
    name = log_of(hudi, hudi.instant(1), is_there=is_there)
    with pytest.raises(Refused, match=rf"log files that are not compacted, such as {re.escape(name)}; .*compaction"):
        hudi.read()
    if is_there:  # its name is that of the base file, so it may hold rows of any commit since
        with pytest.raises(Refused, match="log files"):
            hudi.read(as_of=hudi.instant(0))


def test_a_newer_table_version_of_hudi_is_refused_by_name(hudi):
    hudi.commit(rows({1: 10.0}))
    properties = Path(hudi.path) / ".hoodie" / "hoodie.properties"
    text = properties.read_text().replace("table.version=6", "table.version=8")
    properties.write_text(text.replace("layout.version=1", "layout.version=2"))
    with pytest.raises(Refused, match=r"is of Hudi's table version 8, and feature-sync reads up to 6: .*downgrade"):
        hudi.read()


def test_a_hudi_table_that_nothing_was_committed_to_is_an_error(hudi):
    hudi.commit(rows({1: 10.0}))
    for each in (Path(hudi.path) / ".hoodie").glob("2*"):
        each.unlink()
    with pytest.raises(Refused, match="the table has no completed commit yet"):
        hudi.read()


# Iceberg


def test_an_iceberg_table_is_read_by_the_path_of_its_metadata(iceberg, worker):
    iceberg.commit(rows({1: 10.0}))
    path = worker.ask("iceberg", iceberg.catalog, "shop.rows", "metadata_location")
    assert worker.read({"format": "iceberg", "path": path}).column("amount").to_pylist() == [10.0]


def test_an_iceberg_table_that_no_snapshot_has_yet_is_empty(iceberg, worker):
    worker.ask("create_iceberg", iceberg.catalog, "shop.rows", rows({}).schema)
    assert iceberg.read() == []
    assert iceberg.history() == []
    with pytest.raises(Refused, match="as_of: the table has no version yet"):
        iceberg.read(as_of="2026-01-01")


def test_a_snapshot_that_is_expired_and_a_file_that_is_lost_are_errors(iceberg, worker):
    iceberg.commit(rows({1: 10.0}))
    iceberg.commit(rows({2: 20.0}))
    first, second = iceberg.versions()
    worker.ask("expire_iceberg", iceberg.catalog, "shop.rows", first)
    assert iceberg.versions() == [second]
    with pytest.raises(Refused, match=rf"as_of: no version {first} can be read, or not any more"):
        iceberg.read(as_of=first)
    Path(worker.ask("iceberg_files", iceberg.catalog, "shop.rows")[0]).unlink()
    with pytest.raises(Refused, match="a file of the table is gone"):
        iceberg.read()


def test_a_catalog_that_profiles_do_not_configure_is_named(iceberg, worker):
    iceberg.commit(rows({1: 10.0}))
    with pytest.raises(Refused, match=r"profiles.yml configures no catalog 'shpo'; did you mean 'shop'\?"):
        worker.read({"format": "iceberg", "iceberg_catalog": "shpo", "iceberg_table": "shop.rows"}, iceberg.config)


def test_equality_deletes_of_iceberg_are_refused_by_name(iceberg, worker):
    iceberg.commit(rows({1: 10.0}))
    worker.ask("delete_from_iceberg_by_equality", iceberg.catalog, "shop.rows")
    with pytest.raises(Refused, match=r"pyiceberg cannot read it: .*equality deletes"):
        iceberg.read()


# Delta


def test_version_0_of_delta_is_a_version(delta):
    delta.commit(rows({1: 10.0}))
    delta.commit(rows({1: 11.0}))
    assert delta.read(as_of=0) == delta.read(as_of="0") == delta.expected(0)


def test_a_version_of_delta_whose_files_are_vacuumed_is_an_error(delta, worker):
    delta.commit(rows({1: 10.0}))
    delta.commit(rows({1: 11.0}))
    assert worker.ask("vacuum_delta", delta.path)
    assert delta.read() == delta.expected()
    with pytest.raises(Refused, match=r"a file of the version is gone: .*vacuumed"):
        delta.read(as_of=0)


@pytest.mark.parametrize("feature", ["deletionVectors", "columnMapping"])
def test_what_the_library_cannot_read_of_delta_is_refused_by_name(delta, feature):
    delta.commit(rows({1: 10.0}))
    features = {"readerFeatures": [feature], "writerFeatures": [feature]}
    actions = [
        {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}},
        {"commitInfo": {"timestamp": 0}},
    ]
    log = Path(delta.path, "_delta_log", f"{1:020}.json")
    log.write_text("\n".join(map(json.dumps, actions)))
    with pytest.raises(Refused, match=rf"deltalake cannot read it: .*{feature}"):
        delta.read()
    shutil.rmtree(log.parent)
    with pytest.raises(Refused, match="there is no Delta table"):
        delta.read()


# From the tables to Redis and to training


@pytest.fixture
def example(worker, tmp_path):
    return LakeExample(worker, tmp_path)


def pushed(example, redis_url) -> dict[str, tuple[int, int]]:
    """What a push of each view wrote and deleted; Redis then equals the tables, by brute force."""
    with example.open(redis_url) as store:
        done = {each.feature_view: (each.written, each.deleted) for each in store.push()}
        for name in done:
            assert differences(store, name) == []
        return {name: done[f"customer_{name}"] for name in VIEWS}


def spine_around(moments) -> pyarrow.Table:
    """Each customer asked just before, at and just after each moment."""
    step = timedelta(microseconds=1)
    asked = [(key, each + shift) for key in range(5) for each in moments for shift in (-step, timedelta(0), step)]
    ids, times = ([row[at] for row in asked] for at in (0, 1))
    return pyarrow.table(
        {"customer_id": pyarrow.array(ids, pyarrow.int64()), "event_timestamp": pyarrow.array(times, MOMENT)}
    )


def check_training(store, view_name: str, feature: str, moments) -> list:
    """Compare a training set with the oracle, which reads the view's own rows; return the answers."""
    view = store.registry.feature_view(view_name)
    rows, found = (
        read_table(store, view),
        store.get_training_set(view_name, spine_around(moments)).to_arrow().to_pylist(),
    )
    for row in found:
        expected = oracle.answer(view, rows, (row["customer_id"],), row["event_timestamp"])
        assert row[feature] == (None if expected is None else expected[feature]), row
    return found


def test_views_over_lake_tables_are_pushed_by_what_changed_and_answer_as_of_each_commit(example, redis_url):
    """One story, since each build takes seconds: first commits, upserts and deletes, a new column, time travel."""
    example.commit({0: 0.0, 1: 10.0, 2: 20.0, 3: 30.0}, NOON)
    example.build()
    assert pushed(example, redis_url) == dict.fromkeys(VIEWS, (4, 0))

    example.commit({2: 22.0, 4: 40.0}, NOON + timedelta(days=1), deleted=[1])
    example.build()
    assert pushed(example, redis_url) == dict.fromkeys(VIEWS, (2, 1)), "a changed row, a new one, and one deleted"
    assert pushed(example, redis_url) == dict.fromkeys(VIEWS, (0, 0))

    example.commit({3: 33.0}, NOON + timedelta(days=2), channel="web")
    example.build()
    assert pushed(example, redis_url) == dict.fromkeys(VIEWS, (1, 0)), "a new column changes no other row"

    with example.open(redis_url) as store:
        for name, (_, feature, _) in VIEWS.items():
            table = example.tables[name]
            versions = {row["lake_version"]: row["lake_committed_at"] for row in table.history()}
            answers = check_training(store, f"customer_{name}_versions", feature, versions.values())
            check_as_of(table, versions, answers, feature)
        days = [NOON + timedelta(days=day) for day in range(-1, 4)]
        check_training(store, "customer_spend_known", "amount_30d", days)
        check_training(store, "customer_orders", "total", days)

    shutil.rmtree(example.lake / "orders" / f"day={NOON + timedelta(days=2):%Y-%m-%d}")
    example.build("--select", "customer_orders")
    with example.open(redis_url) as store:
        (done,) = store.push("customer_orders")
        assert (done.written, done.deleted) == (1, 0), "the row of the day before is the newest again"
        assert differences(store, "customer_orders") == []


def check_as_of(table: LakeTable, versions: dict, answers: list, feature: str) -> None:
    """Each answer is what the table itself held as of that moment, read by the library's own time travel."""
    for version, moment in versions.items():
        held = {row["customer_id"]: row[feature] for row in table.read(as_of=version)}
        assert held
        at = [row for row in answers if row["event_timestamp"] == moment]
        assert {row["customer_id"]: row[feature] for row in at} == {key: held.get(key) for key in range(5)}


def test_every_table_can_be_built_as_of_an_older_commit(example):
    example.commit({0: 0.0, 1: 10.0}, NOON)
    example.commit({0: 5.0, 2: 20.0}, NOON + timedelta(days=1))
    for name, (moment, feature, _) in VIEWS.items():
        first = min(row["lake_committed_at"] for row in example.tables[name].history())
        example.build("--select", f"customer_{name}", "--vars", json.dumps({"lake_as_of": first.isoformat()}))
        held = example.tables[name].expected(0, columns=["customer_id", moment, feature])
        assert example.rows(f"select * from customer_{name} order by customer_id") == held


def test_a_table_that_is_gone_fails_the_build_with_its_name_and_the_old_rows_stay(example):
    example.commit({0: 0.0, 1: 10.0}, NOON)
    example.build()
    before = example.rows("select * from customer_scores order by all")
    folder = example.folder / "lake" / "scores"
    folder.rename(folder.with_name("away"))
    try:
        done = example.dbt("build", "--select", "customer_scores")
        assert done.returncode == 1
        assert re.search(
            r"source scores: \S*/scores: there is no Delta table: no _delta_log is in that folder", done.stdout
        )
        assert "Traceback" not in done.stdout
    finally:
        folder.with_name("away").rename(folder)
    assert example.rows("select * from customer_scores order by all") == before
