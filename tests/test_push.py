"""Push and get: Redis holds the newest row of every entity that is available now and young enough, and says which."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import redis

from feature_sync import FeatureStore
from feature_sync.errors import OnlineStoreError, RequestError
from tests.support.naive import EPOCH, differences, read_table
from tests.support.oracle import instant
from tests.support.projects import PROJECTS, build_project

NOW = "2024-01-01T12:30:00Z"


@pytest.fixture(scope="module", params=["duckdb", "postgres", "bigquery"])
def project(request, tmp_path_factory):
    """A project with a view of every kind; its snapshot has seen one change and one deletion."""
    environment = {} if request.param == "duckdb" else request.getfixturevalue(request.param).environment
    folder = tmp_path_factory.mktemp(f"histories_on_{request.param}")
    built = build_project(PROJECTS / "histories", folder, target=request.param, environment=environment)
    (folder / "seeds" / "owners.csv").write_text("sensor,changed_at,owner\nattic,2024-01-01 12:00:00,Eve\n")
    built.dbt("--quiet", "build")
    return built


@pytest.fixture
def options(project, redis_url, monkeypatch):
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    return {"profiles_dir": str(project.folder), "target": project.target, "redis_url": redis_url}


@pytest.fixture
def store(project, options):
    with FeatureStore.open(project.folder, **options) as opened:
        yield opened


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


def pushed(store, *names, **options) -> dict[str, int]:
    done = list(store.push(names, **options))
    assert [each.held_back for each in done] == [None] * len(done)
    return {each.feature_view: each.written for each in done}


def value(store, view, sensor, **options):
    vector = store.get_feature_vector(view, {"sensor": sensor}, **options)
    ((name, found),) = vector.items()
    return found, str(vector.statuses[name])


def test_the_newest_row_within_lag_and_ttl_is_pushed_and_ties_go_to_the_one_written_last(store):
    # 12:00 is available at 12:10; of its two rows the one loaded at 15:00 was created last. The cellar's is too old.
    assert pushed(store, "temperatures", as_of=NOW) == {"temperatures": 1}
    assert value(store, "temperatures", "attic", as_of=NOW) == (22.5, "present")
    assert value(store, "temperatures", "cellar", as_of=NOW) == (None, "missing")


@pytest.mark.parametrize(
    ("as_of", "celsius"),
    [
        pytest.param("2024-01-01T12:09:59.999999Z", 21.0, id="a microsecond before the lag has passed"),
        pytest.param("2024-01-01T12:10:00Z", 22.5, id="the moment the lag has passed"),
        pytest.param("2024-01-01T14:00:00Z", 22.5, id="exactly as old as the ttl"),
    ],
)
def test_lag_and_ttl_count_to_the_microsecond(store, as_of, celsius):
    pushed(store, "temperatures", as_of=as_of)
    assert value(store, "temperatures", "attic", as_of=as_of) == (celsius, "present")


def test_a_correction_counts_from_the_moment_it_was_known(store):
    pushed(store, "corrected_temperatures", as_of=NOW)
    assert value(store, "corrected_temperatures", "attic", as_of=NOW) == (22.0, "present")
    later = "2024-01-01T15:00:00Z"
    pushed(store, "corrected_temperatures", as_of=later)
    assert value(store, "corrected_temperatures", "attic", as_of=later) == (22.5, "present")


def test_null_keys_and_null_event_timestamps_are_never_pushed(store, client):
    pushed(store, "corrected_temperatures", "places", as_of=NOW)
    keys = sorted(client.keys("histories:corrected_temperatures:{*"))
    assert keys == [b"histories:corrected_temperatures:{attic}", b"histories:corrected_temperatures:{cellar}"]
    assert client.exists("histories:places:{}", "histories:places:{%}") == 0


def test_timeless_and_latest_only_views_hold_one_row_for_each_entity_without_an_age(store, client):
    assert pushed(store, "places", "batteries") == {"places": 3, "batteries": 3}
    assert value(store, "places", "garden") == ("GARDEN", "present")
    assert value(store, "batteries", "attic") == (22.5, "present")
    assert client.pttl("histories:places:{garden}") == -1


def test_a_snapshot_serves_the_row_that_is_valid_and_nothing_for_an_entity_that_was_deleted(store):
    pushed(store, "owner_history")
    assert value(store, "owner_history", "attic") == ("Eve", "present")
    assert value(store, "owner_history", "cellar") == (None, "missing")
    pushed(store, "owner_history", as_of="2024-01-01T11:59:59Z", full_refresh=True)
    assert value(store, "owner_history", "attic") == ("Ada", "present")
    assert value(store, "owner_history", "cellar") == ("Bob", "present")


@pytest.mark.parametrize(
    ("as_of", "owner"),
    [
        pytest.param("2024-01-01T11:59:59.999999Z", ("Ada", "present"), id="a microsecond before its end"),
        pytest.param("2024-01-01T12:00:00Z", (None, "expired"), id="at its end"),
        pytest.param("2025-01-01T00:00:00Z", (None, "expired"), id="long after its end"),
    ],
)
def test_a_snapshots_row_that_was_pushed_at_a_fixed_clock_answers_until_its_end(store, as_of, owner):
    pushed(store, "owner_history", as_of="2024-01-01T11:00:00Z")
    assert value(store, "owner_history", "attic", as_of=as_of) == owner
    found = next(iter(store.verify(["owner_history"])))
    assert (found.is_equal, found.matching) == (True, 2)
    assert next(iter(store.verify(["owner_history"], as_of="2024-01-01T11:59:59.999999Z"))).is_equal
    ended = next(iter(store.verify(["owner_history"], as_of="2024-01-01T12:00:00Z")))
    assert (ended.different, ended.extra, ended.overdue) == (1, 0, 0)  # the attic has another owner by then


def test_a_snapshots_row_expires_in_redis_when_its_lag_has_passed_since_its_end(store, client):
    pushed(store, "tenant_history")
    assert value(store, "tenant_history", "cellar") == ("Bob", "present")
    ended = round_up_to_millisecond(end_of_cellar(store) + timedelta(minutes=30))
    assert client.pexpiretime("histories:tenant_history:{cellar}") == ended
    assert client.pexpiretime("histories:tenant_history:{attic}") == -1


def test_a_snapshots_row_answers_until_its_end_and_lag_to_the_microsecond(store):
    ended = end_of_cellar(store) + timedelta(minutes=30)
    before = (ended - timedelta(microseconds=1)).isoformat()
    assert pushed(store, "tenant_history", as_of=before) == {"tenant_history": 2}
    assert value(store, "tenant_history", "cellar", as_of=before) == ("Bob", "present")
    assert differences(store, "tenant_history") == []
    pushed(store, "tenant_history", as_of=ended.isoformat(), allow_removals=True)
    assert value(store, "tenant_history", "cellar", as_of=ended.isoformat()) == (None, "missing")
    assert differences(store, "tenant_history") == []


def end_of_cellar(store) -> datetime:
    """When the snapshot's one row of the cellar ended: dbt noticed its deletion then."""
    rows = read_table(store, store.registry.feature_view("tenant_history"))
    (ended,) = [row["dbt_valid_to"] for row in rows if row["sensor"] == "cellar"]
    return instant(ended, "UTC")


def round_up_to_millisecond(moment: datetime) -> int:
    return -((EPOCH - moment) // timedelta(milliseconds=1))


def test_training_and_serving_agree_on_every_kind_of_view(store):
    names = ["temperatures:celsius", "corrected_temperatures:corrected", "places:place", "owner_history:owner"]
    training_set = store.get_training_set(None, "questions", features=names)
    table = training_set.to_arrow()
    assert training_set.to_pandas().shape == (4, 3 + len(names))
    rows = {row.pop("question"): row for row in table.to_pylist()}
    answers = {number: [row[name.partition(":")[2]] for name in names] for number, row in rows.items()}
    assert answers == {
        1: [22.5, 22.0, "ATTIC", "Eve"],
        2: [None, 22.5, "ATTIC", "Eve"],
        3: [None, 12.0, "CELLAR", "Bob"],
        4: [None, None, None, None],
    }
    pushed(store, "temperatures", "corrected_temperatures", "places", "owner_history", as_of=NOW)
    for number in (1, 3, 4):
        served = [value(store, name.partition(":")[0], rows[number]["sensor"], as_of=NOW)[0] for name in names]
        assert served == answers[number]


def test_a_view_without_history_is_refused_for_training_with_the_snapshot_to_paste(store):
    with pytest.raises(RequestError, match=r"batteries is latest_only.*snapshots: .*unique_key: sensor"):
        _ = store.get_training_set("batteries", "questions").sql


def test_the_snapshot_that_is_offered_for_a_latest_only_view_can_be_pasted_and_trained_on(tmp_path):
    project = build_project(PROJECTS / "histories", tmp_path / "histories", target="duckdb")
    refused = project.feature_sync("sql", "batteries", "--spine", "questions")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    pasted = refused.stderr[refused.stderr.index("snapshots: [") :]
    (project.folder / "snapshots" / "battery_history.yml").write_text(pasted)
    project.dbt("--quiet", "--warn-error", "build", "--select", "+batteries_history", "questions")
    answered = project.feature_sync("extract", "batteries_history", "--spine", "questions", "-o", "set.parquet")
    assert answered.returncode == 0, answered.stderr
    assert "battery" in answered.stdout


def test_at_the_real_clock_a_row_expires_in_redis_when_its_ttl_ends(project, store, client):
    seed = project.folder / "seeds" / "readings.csv"
    before = seed.read_text()
    read_at = datetime.now(UTC).replace(tzinfo=None, microsecond=0) - timedelta(hours=1)
    seed.write_text(f"sensor,read_at,loaded_at,celsius\nattic,{read_at},{read_at},18.0\n")
    try:
        project.dbt("--quiet", "build", "-s", "readings", "temperatures")
        assert pushed(store, "temperatures") == {"temperatures": 1}
        expires_at = client.pexpiretime("histories:temperatures:{attic}")
        assert expires_at == (read_at.replace(tzinfo=UTC) + timedelta(hours=2)).timestamp() * 1000
        in_two_hours = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
        assert value(store, "temperatures", "attic", as_of=in_two_hours) == (None, "expired")
    finally:
        seed.write_text(before)
        project.dbt("--quiet", "build")


def test_a_fixed_clock_leaves_no_expiry_and_later_readers_see_the_row_expire(store, client):
    pushed(store, "temperatures", as_of=NOW)
    assert client.pttl("histories:temperatures:{attic}") == -1
    assert value(store, "temperatures", "attic", as_of="2024-01-01T14:00:00Z") == (22.5, "present")
    assert value(store, "temperatures", "attic", as_of="2024-01-01T14:00:00.000001Z") == (None, "expired")
    assert value(store, "temperatures", "attic") == (22.5, "present")  # judged where the push was


def test_a_reader_cannot_go_back_before_the_push(store):
    pushed(store, "temperatures", as_of=NOW)
    with pytest.raises(RequestError, match="cannot answer for an earlier moment"):
        value(store, "temperatures", "attic", as_of="2024-01-01T12:29:59Z")


def test_between_a_fixed_and_the_real_clock_lies_a_full_refresh(store, client):
    pushed(store, "corrected_temperatures", as_of=NOW)
    with pytest.raises(OnlineStoreError, match="full_refresh=True"):
        list(store.push(["corrected_temperatures"]))
    pushed(store, "corrected_temperatures", full_refresh=True)
    assert len(client.keys("histories:corrected_temperatures:{*")) == 2


def test_a_full_refresh_touches_only_its_own_view(store, client):
    pushed(store, as_of=NOW)
    client.set("histories:places2:{attic}", b"somebody else's")
    client.set("histories:place", b"somebody else's")
    pushed(store, "places", as_of=NOW, full_refresh=True)
    assert client.exists("histories:places2:{attic}", "histories:place", "histories:temperatures:{attic}") == 3


def test_a_push_without_a_row_is_held_back_and_names_the_newest(store):
    (done,) = store.push(["temperatures"], as_of="2025-01-01")
    assert done.held_back == "no row answers at 2025-01-01 00:00:00Z; the newest is of 2024-01-01 12:00:00Z"


def test_dbts_own_selection_chooses_the_views(store):
    assert pushed(store, select=["places", "+batteries"]) == {"places": 3, "batteries": 3}


def test_dbt_can_run_while_a_store_is_open(project, store):
    pushed(store, "places")
    project.dbt("--quiet", "build")


def test_two_projects_share_a_redis_although_one_name_begins_like_the_other(project, options, client):
    for prefix in ("shop", "shop:two", "sho?"):
        with FeatureStore.open(project.folder, key_prefix=prefix, **options) as opened:
            pushed(opened, "places")
    for prefix in ("shop", "sho?"):
        with FeatureStore.open(project.folder, key_prefix=prefix, **options) as opened:
            pushed(opened, "places", full_refresh=True)
    for prefix in ("shop", "shop:two", "sho?"):
        assert client.get(f"{prefix}:places:{{attic}}") is not None
        assert client.exists(f"{prefix}:places:schema") == 1
