"""The skew between serving and training: real vectors of a real client, recomputed by the point-in-time join."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import pyarrow.parquet
import pytest
import redis

from feature_sync import FeatureClient, FeatureStore, RequestError, ServedLog, WarehouseError
from feature_sync.monitor.comparing import Outcome, compared
from feature_sync.monitor.lags import best_lag
from feature_sync.online.codec import encode_row
from feature_sync.serving.served_rows import Served, served_tables
from feature_sync.value_types import to_microseconds
from tests.support.projects import PROJECTS, BuiltProject, copy_project
from tests.support.shelves import rewrite, run
from tests.test_json import fits

SERVICE = "stock_model"
EXPOSURE = """
exposures:
  - name: stock_model
    type: ml
    owner: {name: Stock, email: stock@example.com}
    depends_on: [ref('shelves')]
    config: {meta: {feature_service: {features: {shelves: [amount, pieces, label]}}}}
"""
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def stock(request, tmp_path_factory):
    environment = {} if request.param == "duckdb" else request.getfixturevalue(request.param).environment
    folder = copy_project(PROJECTS / "stock", tmp_path_factory.mktemp(f"skew_of_stock_on_{request.param}"))
    with (folder / "models" / "models.yml").open("a") as models:
        models.write(EXPOSURE)
    project = BuiltProject(folder, request.param, environment)
    project.dbt("--quiet", "build")
    return project


@pytest.fixture
def store(stock, redis_url, monkeypatch):
    for name, value in stock.environment.items():
        monkeypatch.setenv(name, value)
    with FeatureStore(stock.folder, profiles_dir=stock.folder, target=stock.target, redis_url=redis_url) as opened:
        yield opened


def fill_now(store, rows: int) -> list[dict]:
    """Count many shelves a minute ago, and push them; returns their keys."""
    rewrite(store, [])
    counted = datetime.now(UTC).replace(tzinfo=None) - MINUTE
    values = f"'shop', i, timestamp '{counted}', i / 3.0, i, 'some text'"
    run(store, f"insert into {{schema}}.counts select {values} from generate_series(1, {rows}) as g(i)")
    (pushed,) = store.push()
    assert pushed.written == rows
    return [{"shop": "shop", "item": item} for item in range(1, rows + 1)]


def serve(url: str, keys: list[dict], folder) -> None:
    """Serve vectors, all of which are logged."""
    log = ServedLog.to_folder(folder, share=1, most_pending=len(keys), rows_per_file=len(keys) // 3 + 1)
    with log, FeatureClient(url, SERVICE, prefix="stock", timeout=30, log=log) as client:
        client.get_many(keys)
    assert (log.written, log.dropped, log.failed) == (len(keys), 0, 0)


def spoil(url: str, keys: list[dict], change) -> None:
    """Change the values of entities in Redis, behind the back of every push."""
    with redis.Redis.from_url(url) as client:
        for each in keys:
            key = f"stock:shelves:{{{each['item']}|{each['shop']}}}"
            from msgpack import unpackb

            client.set(key, encode_row(change(unpackb(client.get(key)))), keepttl=True)


def test_a_planted_share_of_wrong_values_is_found_among_10_000_vectors(store, redis_url, tmp_path):
    keys = fill_now(store, 10_000)
    wrong = keys[::100]
    spoil(redis_url, wrong, lambda row: [*row[:2], row[2] + 2.5, *row[3:]])
    serve(redis_url, keys, tmp_path)
    found = store.skew(SERVICE, tmp_path)
    amount, pieces, label = found.features
    assert (found.vectors, found.matching, len(wrong)) == (10_000, 9_900, 100)
    assert (amount.name, amount.feature_view) == ("amount", "shelves")
    assert (amount.matching, amount.different, amount.missing, amount.extra) == (9_900, 100, 0, 0)
    assert amount.match_share == 0.99
    assert (amount.mean_difference, amount.max_difference) == pytest.approx((2.5, 2.5))
    assert (pieces.match_share, label.match_share, pieces.mean_difference) == (1, 1, None)
    assert (found.is_within(0.99), found.is_within(0.991)) == (True, False)
    (example,) = found.examples
    assert example.keys in wrong
    assert example.served == pytest.approx(example.training + 2.5)
    (view,) = found.views  # wrong values are no rows that came late
    assert (view.observed_lag, view.matching) == (timedelta(), 9_900)


def test_values_that_are_equal_match_in_all(store, redis_url, tmp_path):
    serve(redis_url, fill_now(store, 100), tmp_path)
    found = store.skew(SERVICE, tmp_path)
    assert (found.vectors, found.match_share, found.examples) == (100, 1, ())
    assert (found.other_shape, found.other_logic) == (0, 0)


def test_rows_that_are_in_redis_alone_or_in_training_alone_are_told_apart(store, redis_url, tmp_path):
    keys = fill_now(store, 10)
    with redis.Redis.from_url(redis_url) as client:
        client.delete("stock:shelves:{1|shop}")
    serve(redis_url, [*keys, {"shop": None, "item": 3}, {"shop": "nowhere", "item": 3}], tmp_path)
    run(store, "delete from {schema}.counts where item in (9, 10)")
    found = store.skew(SERVICE, tmp_path)
    assert [(each.matching, each.different, each.missing, each.extra) for each in found.features] == [(9, 0, 1, 2)] * 3


def test_the_lag_with_which_rows_truly_came_is_estimated(store, redis_url, tmp_path):
    """A row is counted every ten minutes, and training takes it as known at once; serving has it 25 minutes later."""
    late = 25 * MINUTE
    rewrite(
        store, [("a", 1, (NOON + at * MINUTE).replace(tzinfo=None), float(at), at, "red") for at in range(0, 120, 10)]
    )
    served = []
    for at in range(35, 95, 5):
        store.push(as_of=NOON + at * MINUTE - late, full_refresh=True)
        vector = store.get_feature_vector(SERVICE, {"shop": "a", "item": 1}, as_of=NOON + at * MINUTE - late)
        served += [
            Served(to_microseconds(NOON + at * MINUTE + second * MINUTE / 60), vector.entity, vector)
            for second in (0, 10, 20)
        ]
    for number, (_, table) in enumerate(served_tables(served, 1_000)):
        pyarrow.parquet.write_table(table, tmp_path / f"{number}.parquet")
    found = store.skew(SERVICE, tmp_path)
    (view,) = found.views
    assert (found.match_share, view.lag, view.matching) == (0, timedelta(), 0)
    assert view.matching_with_observed == found.vectors == 36
    assert late - 5 * MINUTE <= view.observed_lag <= late + MINUTE  # a push every five minutes says no more
    assert store.skew(SERVICE, tmp_path, until=NOON + 35 * MINUTE).vectors == 1


@pytest.mark.parametrize(
    ("observed", "lag"),
    [
        pytest.param([(5, True), (1, True)], 0, id="all were served at once"),
        pytest.param([(1, False), (5, False), (6, True), (9, True)], 6, id="rows younger than 6 were not there"),
        pytest.param([(1, False), (5, True), (6, False), (9, True)], 5, id="the fewest contradictions"),
        pytest.param([(1, True), (2, True), (5, False), (9, True)], 0, id="one wrong value is no lag"),
        pytest.param([(1, False), (5, False)], 6, id="none was ever there"),
        pytest.param([], 0, id="no rows"),
    ],
)  # fmt: skip
def test_the_best_lag_contradicts_the_fewest_observations(observed, lag):
    assert best_lag(observed, defined=0) == lag
    shifted = [(age + 7, is_so) for age, is_so in observed]
    assert best_lag(shifted, defined=7) == lag + 7


@pytest.mark.parametrize(
    ("value", "expected", "is_absent", "outcome"),
    [
        (0.1 + 0.2, 0.3, False, Outcome.MATCHING),
        (1.0, 1.0 + 1e-8, False, Outcome.DIFFERENT),
        (1e300, 1e300 * (1 + 1e-12), False, Outcome.MATCHING),
        (0.0, 1e-30, False, Outcome.DIFFERENT),
        (0.0, -0.0, False, Outcome.MATCHING),
        (math.nan, math.nan, False, Outcome.MATCHING),
        (math.nan, 1.0, False, Outcome.DIFFERENT),
        (math.inf, math.inf, False, Outcome.MATCHING),
        (None, None, True, Outcome.MATCHING),
        (None, 1, True, Outcome.MISSING),
        (0, 1, True, Outcome.MISSING),
        (0, 0, True, Outcome.MATCHING),
        (1, None, False, Outcome.EXTRA),
        (10**15, 10**15 + 1, False, Outcome.DIFFERENT),
        ([1.0, None], [1.0 + 1e-12, None], False, Outcome.MATCHING),
        ([1.0], [1.0, 2.0], False, Outcome.DIFFERENT),
        ({"a": 1.0}, {"a": 1.0 + 1e-12}, False, Outcome.MATCHING),
        ("a", "A", False, Outcome.DIFFERENT),
    ],
)
def test_only_floats_have_a_tolerance(value, expected, is_absent, outcome):
    assert compared(value, expected, is_absent=is_absent, tolerance=1e-9) is outcome


def test_a_log_in_a_table_of_the_warehouse_is_read_too(store, redis_url):
    run(store, "drop table if exists {schema}.served")
    keys = fill_now(store, 50)
    spoil(redis_url, keys[:5], lambda row: [*row[:3], row[3] + 1, row[4]])
    schema = "main" if store.target.adapter == "duckdb" else "stock"
    with (
        ServedLog.to_table(store, f"{schema}.served", share=1) as log,
        FeatureClient(redis_url, SERVICE, prefix="stock", timeout=30, log=log) as client,
    ):
        client.get_many(keys)
    found = store.skew(SERVICE, f"{schema}.served")
    assert [(each.name, each.matching, each.different) for each in found.features] == [
        ("amount", 50, 0), ("pieces", 45, 5), ("label", 50, 0)
    ]  # fmt: skip
    with pytest.raises(WarehouseError, match="nosuch"):
        store.skew(SERVICE, f"{schema}.nosuch")


def test_the_command_prints_a_table_or_json_and_exits_3(stock, store, redis_url, tmp_path):
    keys = fill_now(store, 100)
    spoil(redis_url, keys[:1], lambda row: [*row[:3], row[3] + 1, row[4]])
    serve(redis_url, keys, tmp_path)

    def skew(*arguments: str, exits: int):
        done = stock.feature_sync("skew", SERVICE, "--log", str(tmp_path), *arguments, FEATURE_SYNC_REDIS_URL=redis_url)
        assert done.returncode == exits, done.stdout + done.stderr
        return done

    shown = skew(exits=3)
    rows = [line.split() for line in shown.stdout.splitlines()]
    assert ["pieces", "shelves", "99.00%", "1", "0", "0", "1", "1"] in rows
    assert ["label", "shelves", "100.00%", "0", "0", "0"] in rows
    assert "99 of 100 vectors match in every feature" in shown.stderr
    document = fits("skew", json.loads(skew("--json", "--min-match", "0.99", exits=0).stdout))
    assert (document["vectors"], document["matching"], document["match_share"]) == (100, 99, 0.99)
    assert document["examples"][0]["keys"] == {"item": 1, "shop": "shop"}
    assert document["examples"][0]["served"] == document["examples"][0]["training"] + 1
    redacted = skew("--redact", "--json", exits=3).stdout
    assert json.loads(redacted)["examples"][0]["keys"] == {}
    assert json.loads(skew("--sample", "10", "--json", exits=3).stdout)["vectors"] == 10


def test_what_cannot_be_compared_is_one_line(store, redis_url, tmp_path):
    serve(redis_url, fill_now(store, 3), tmp_path / "served")
    for log, words in (
        (tmp_path, "holds no Parquet file"),
        (tmp_path / "nothing.parquet", "nothing.parquet cannot be read as Parquet"),
        ("nothing", "nothing is no file and no folder; a table is named with its schema: ml.served"),
        ("a.b.c", 'name the table with its schema, such as "ml.served"'),
    ):
        with pytest.raises(RequestError, match=words):
            store.skew(SERVICE, log)
    with pytest.raises(RequestError, match=r"holds no vectors of shelves; it has those of stock_model"):
        store.skew("shelves", tmp_path / "served")
    with pytest.raises(RequestError, match="none between since= and until="):
        store.skew(SERVICE, tmp_path / "served", since="2100-01-01")
    pyarrow.parquet.write_table(pyarrow.table({"a": [1], "b": [1], "c": [1], "d": [1]}), tmp_path / "other.parquet")
    with pytest.raises(RequestError, match="does not hold served vectors"):
        store.skew(SERVICE, tmp_path / "other.parquet")
