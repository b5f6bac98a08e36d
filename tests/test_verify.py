"""Verify: proves that Redis equals the warehouse, or tells how it does not."""

from __future__ import annotations

import msgpack
import pytest
import redis

from feature_sync import FeatureStore
from tests.support.naive import differences
from tests.support.projects import PROJECTS, build_project

NOW = "2024-01-01T12:30:00Z"


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def target(request):
    environment = request.getfixturevalue("postgres").environment if request.param == "postgres" else {}
    return request.param, environment


@pytest.fixture(scope="module")
def histories(target, tmp_path_factory):
    """A project with a view of every kind."""
    name, environment = target
    folder = tmp_path_factory.mktemp(f"verified_histories_on_{name}")
    return build_project(PROJECTS / "histories", folder, target=name, environment=environment)


@pytest.fixture(scope="module")
def types(target, tmp_path_factory):
    """A project with a feature and a key of every type."""
    name, environment = target
    folder = tmp_path_factory.mktemp(f"verified_types_on_{name}")
    return build_project(PROJECTS / "types", folder, target=name, environment=environment)


@pytest.fixture
def opened(target, redis_url, monkeypatch):
    """Opens projects, and closes them after the test."""
    for name, value in target[1].items():
        monkeypatch.setenv(name, value)
    stores = []

    def opens(project, **options) -> FeatureStore:
        options = {"profiles_dir": str(project.folder), "target": project.target, "redis_url": redis_url, **options}
        stores.append(FeatureStore.open(project.folder, **options))
        return stores[-1]

    yield opens
    for store in stores:
        store.close()


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


def pushed(store, *names, **options):
    done = list(store.push(names, **options))
    assert [each.held_back for each in done] == [None] * len(done)


def test_the_naive_comparison_finds_nothing_after_a_push(opened, histories, types):
    store = opened(histories)
    pushed(store, as_of=NOW)
    assert [line for name in store.registry.feature_views for line in differences(store, name)] == []
    pushed(store, "places", "batteries", "owner_history", "corrected_temperatures", full_refresh=True)
    for name in ("places", "batteries", "owner_history", "corrected_temperatures"):
        assert differences(store, name) == []
    of_all_types = opened(types)
    pushed(of_all_types)
    for name in ("everything", "keys", "names"):
        assert differences(of_all_types, name) == []


def test_the_naive_comparison_finds_each_kind_of_difference(opened, histories, client):
    store = opened(histories)
    pushed(store, as_of=NOW)
    client.delete("histories:places:{attic}")
    client.set("histories:places:{nowhere}", b"")
    schema_id, event_timestamp, _ = msgpack.unpackb(client.get("histories:batteries:{attic}"))
    client.set("histories:batteries:{attic}", msgpack.packb([schema_id, event_timestamp, -0.0]))
    client.expire("histories:temperatures:{attic}", 1000)
    assert differences(store, "places") == ["histories:places:{attic}: missing", "histories:places:{nowhere}: extra"]
    assert differences(store, "batteries") == ["histories:batteries:{attic}: battery is not 22.5"]
    assert len(differences(store, "temperatures")) == 1
    assert "not at None" in differences(store, "temperatures")[0]
