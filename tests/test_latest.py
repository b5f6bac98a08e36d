"""The newest values of all entities, from the warehouse: the values that Redis serves at the same moment."""

from __future__ import annotations

import json

import pandas
import polars
import pytest

from feature_sync import RequestError, UnknownName
from tests.support.unbuilt import AS_OF, UnbuiltProject

MANY = 50
TRIPS = """
    select n % 40 as id, timestamp '2024-01-02 00:00:00' - n * interval '1 hour' as seen_at, n as fee,
        case when n % 5 > 0 then 'city ' || n % 7 end as city
    from {rows}
"""


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def project(request, tmp_path_factory):
    """Views of one key: with a history, some of it too old; timeless; overwritten; and a view of another key."""
    login = None if request.param == "duckdb" else request.getfixturevalue("postgres").environment
    made = UnbuiltProject(tmp_path_factory.mktemp("latest") / "project", login=login, schema="latest")
    rows = "range(0, 200) as numbers(n)" if login is None else "generate_series(0, 199) as numbers(n)"
    few = "range(30, 60) as numbers(n)" if login is None else "generate_series(30, 59) as numbers(n)"
    made.view("trips", TRIPS.format(rows=rows), event_time="seen_at", features=["fee", "city"], ttl="1d")
    made.view("drivers", f"select n as id, 'name ' || n as name from {few}", features=["name"])
    made.view(
        "places", f"select n as id, n * 2 as place from {few}", timeless=False, latest_only=True, features=["place"]
    )
    made.view("weather", f"select n as id, n as wind from {few}", entity="city", features=["wind"])
    views = {"trips": ["fee", "city"], "drivers": ["name"], "places": ["place"]}
    made.service("all_of_one_key", views, [*views])
    weather = {"features": ["wind"], "keys": {"city": "city_id"}}
    made.service("two_keys", {"trips": ["fee"], "weather": weather}, ["trips", "weather"])
    yield made
    made.drop()


@pytest.fixture
def store(project, redis_url):
    with project.open(redis_url) as opened:
        yield opened


def rows_of(training_set) -> dict[int, dict[str, object]]:
    rows = {each.pop("id"): each for each in training_set.to_arrow().drop_columns("event_timestamp").to_pylist()}
    assert len(rows) == training_set.collect().to_arrow().num_rows
    return rows


def test_all_entities_are_answered_as_redis_serves_them(store):
    assert [each.held_back for each in store.push(gate=False)] == [None] * 4
    answered = rows_of(store.get_latest("all_of_one_key"))
    assert sorted(answered) == [*range(60)]  # of each view
    vectors = store.get_online_features("all_of_one_key", [{"id": each} for each in answered])
    served = [dict(vector) for vector in vectors]
    assert served == [*answered.values()]
    assert sum(each["place"] is not None for each in served) == 30
    assert 0 < sum(each["fee"] is not None for each in served) < 40  # the others are too old


def test_the_moment_is_the_present_one_or_the_one_asked(store):
    (moment,) = set(store.get_latest("drivers").to_arrow()["event_timestamp"].to_pylist())
    assert moment.isoformat().startswith(AS_OF.removesuffix("Z")[:16])
    earlier = rows_of(store.get_latest("trips", as_of="2024-01-01T12:00:00"))
    asked = pandas.DataFrame({"id": [*earlier], "event_timestamp": pandas.Timestamp("2024-01-01T12:00:00", tz="UTC")})
    assert rows_of(store.get_training_set("trips", asked)) == earlier
    assert earlier != rows_of(store.get_latest("trips"))


def test_of_names_the_view_that_has_the_entities(store):
    assert sorted(rows_of(store.get_latest("all_of_one_key", of="drivers"))) == [*range(30, 60)]
    assert sorted(rows_of(store.get_latest(None, features=["trips:fee"], of="trips"))) == [*range(40)]


@pytest.mark.parametrize("form", [pandas.DataFrame, polars.DataFrame], ids=["pandas", "polars"])
def test_entities_of_a_frame_keep_their_order(store, form):
    asked = [41, 3, 3, 1000]
    answered = store.get_latest("all_of_one_key", form({"id": asked, "note": ["a", "b", "c", "d"]})).to_arrow()
    assert (answered["id"].to_pylist(), answered["note"].to_pylist()) == (asked, ["a", "b", "c", "d"])
    assert answered["name"].to_pylist() == ["name 41", None, None, None]
    assert answered["place"].to_pylist() == [82, None, None, None]


def test_entities_of_a_model_are_answered(store):
    answered = rows_of(store.get_latest("trips", "drivers"))
    assert sorted(answered) == [*range(30, 60)]
    assert set(answered[30]) == {"name", "fee", "city"}


def test_what_cannot_be_asked_is_refused(store):
    with pytest.raises(RequestError, match=r"no view of two_keys has every key of it \(id, city_id\)"):
        store.get_latest("two_keys")
    with pytest.raises(RequestError, match="trips does not have every key of two_keys"):
        store.get_latest("two_keys", of="trips")
    with pytest.raises(UnknownName, match="did you mean 'trips'"):
        store.get_latest("two_keys", of="trip")
    with pytest.raises(RequestError, match="and not both"):
        store.get_latest("two_keys", pandas.DataFrame({"id": [1]}), of="trips")
    with pytest.raises(RequestError, match="have a column 'event_timestamp'"):
        store.get_latest("trips", pandas.DataFrame({"id": [1], "event_timestamp": [AS_OF]})).to_arrow()
    with pytest.raises(RequestError, match="the spine has no column 'city_id'"):
        store.get_latest("two_keys", pandas.DataFrame({"id": [1]})).to_arrow()
    with pytest.raises(RequestError, match="places is latest_only, so it has no history"):
        store.get_latest("places", as_of="2023-01-01").to_arrow()


def test_the_command_writes_the_same(store, project, tmp_path):
    from click.testing import CliRunner

    from feature_sync.cli import cli

    def run(*arguments: str):
        options = ["--project-dir", str(project.folder), "--profiles-dir", str(project.folder)]
        return CliRunner().invoke(cli, ["extract", *arguments, *options], catch_exceptions=False)

    path = tmp_path / "latest.parquet"
    assert run("all_of_one_key", "--latest", "-o", str(path)).exit_code == 0
    assert polars.read_parquet(path).equals(store.get_latest("all_of_one_key").to_polars())
    assert json.loads((tmp_path / "latest.parquet.json").read_text())["rows"] == 60
    assert run("all_of_one_key", "--latest", "--of", "drivers", "-o", str(path)).exit_code == 0
    assert len(polars.read_parquet(path)) == 30
    pandas.DataFrame({"id": [7, 3]}).to_csv(tmp_path / "asked.csv", index=False)
    assert run("trips", "--latest", "--spine", str(tmp_path / "asked.csv"), "-o", str(path)).exit_code == 0
    assert polars.read_parquet(path)["id"].to_list() == [7, 3]
    for wrong in (["trips", "--of", "trips"], ["trips", "--latest", "--since", "2025-01-01"]):
        refused = run(*wrong, "-o", str(path))
        assert refused.exit_code == 2
        assert "--latest" in refused.output
