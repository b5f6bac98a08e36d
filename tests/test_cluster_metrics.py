"""What the exporter tells of a Redis Cluster: its nodes, lost ones included, and the slots of each view."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from feature_sync.online.slots import slot_of, tags
from feature_sync.store.watching import StatusMetrics
from tests.support.clusters import Cluster, until
from tests.support.meters import Meters, build_meters

VIEW = "latest_readings"
MANY = 300


@pytest.fixture(scope="module")
def cluster():
    with Cluster(replicas=1, settings=("--cluster-node-timeout", "60000")) as started:
        until(lambda: all(knows_replicas(started, each) for each in started.processes), "replicas are not known")
        yield started


def knows_replicas(cluster, process) -> bool:
    """True if a node has been told of the replica of each primary: first and last slot, primary and replica."""
    return all(len(each) == 4 for each in cluster.run(process, "CLUSTER", "SLOTS"))


@pytest.fixture(scope="module")
def meters(tmp_path_factory, cluster):
    opened = Meters(build_meters(tmp_path_factory.mktemp("watched_meters"), "duckdb", {}), cluster.url)
    opened.reset()
    opened.many(MANY)
    opened.push()
    yield opened
    opened.close()


def scraped(meters) -> dict[tuple[str, str], float]:
    """The value of each sample by its metric and its node or view, at a scrape of its own."""
    page = StatusMetrics(meters.store.project, meters.store.connections)()
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return {
        (each.name.removeprefix("feature_sync_"), each.labels.get("node") or each.labels.get("view", "")): each.value
        for each in samples
    }


def test_each_node_is_told_with_its_slots_keys_and_replicas(meters, cluster):
    found = scraped(meters)
    names = {each: f"127.0.0.1:{each.port}" for each in cluster.processes}
    assert {name for metric, name in found if metric == "node_up"} == {*names.values()}
    assert all(found["node_up", each] == 1 for each in names.values())
    assert sum(found["node_slots", names[each]] for each in cluster.primaries) == 16_384
    keys = [int(cluster.run(each, "DBSIZE")) for each in cluster.primaries]
    assert [found["node_keys", names[each]] for each in cluster.primaries] == keys
    for each in cluster.primaries:
        assert (found["node_replicas", names[each]], found["node_memory_bytes", names[each]] > 0) == (1, True)
        assert found["node_replica_lag_bytes", names[each]] >= 0
    assert (found["up", ""], found["cluster_uncovered_slots", ""], found["view_unfinished_slots", VIEW]) == (1, 0, 0)


def test_a_slot_that_lost_its_mark_is_unfinished_until_the_next_push(meters, cluster):
    slot = slot_of(b"{m5}")
    assert cluster.run(cluster.owner(slot), "DEL", b"meters:slot:{%b}" % tags()[slot]) == 1
    assert scraped(meters)["view_unfinished_slots", VIEW] == 1
    meters.push()
    assert scraped(meters)["view_unfinished_slots", VIEW] == 0


@pytest.mark.slow
def test_a_lost_node_is_told_although_nothing_else_can_be_read(meters, cluster):
    replica, lost = cluster.replicas[0], cluster.primaries[1]
    replica.kill()
    found = scraped(meters)
    assert (found["node_up", f"127.0.0.1:{replica.port}"], found["cluster_uncovered_slots", ""]) == (0, 0)
    slots = found["node_slots", f"127.0.0.1:{lost.port}"]
    lost.kill()
    until(lambda: scraped(meters).get(("cluster_uncovered_slots", "")) == slots, "the slots are not told as uncovered")
    found = scraped(meters)
    assert (found["node_up", f"127.0.0.1:{lost.port}"], found["up", ""]) == (0, 0)
    assert found["node_up", f"127.0.0.1:{cluster.primaries[0].port}"] == 1
