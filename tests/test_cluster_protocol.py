"""The push's protocol on a Redis Cluster: what holds on one Redis holds there word for word."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

import pytest

from feature_sync.forgetting.traces import Place
from feature_sync.online.slots import SLOTS
from tests import test_push_protocol
from tests.support.clusters import Cluster
from tests.support.meters import build_meters
from tests.support.naive import client_of
from tests.support.same import same_test
from tests.support.unbuilt import UnbuiltProject
from tests.test_push_protocol import environment, meters, own

__all__ = ["environment", "meters", "own"]
QUICK = (
    "test_a_deleted_entity_goes_and_comes_back_with_the_same_row",
    "test_a_full_refresh_sends_every_row_and_removes_what_nobody_pushed",
    "test_an_emptied_redis_is_filled_again",
    "test_what_an_unfinished_push_touched_is_sent_again_though_the_rows_are_as_before",
    "test_a_dry_run_counts_what_the_push_then_does",
)
SLOW = (
    "test_a_late_row_below_every_earlier_timestamp_changes_nothing_and_answers_once_the_newer_ones_are_gone",
    "test_a_row_whose_ttl_ends_between_two_pushes_is_gone_whether_or_not_redis_saw_it_end",
    "test_at_fixed_clocks_rows_end_with_their_ttl_and_come_back_when_the_clock_goes_back",
    "test_a_changed_ttl_gives_every_row_another_expiry",
    "test_a_changed_definition_gets_a_schema_of_its_own_and_readers_of_the_old_one_are_told_what_is_gone",
    "test_old_and_new_rows_stand_side_by_side_while_a_changed_view_is_pushed",
    "test_a_renamed_join_key_sends_the_view_anew_and_leaves_no_old_key",
    "test_a_definition_that_went_back_after_a_push_of_the_other_was_cut_off_is_pushed_in_full",
    "test_two_projects_in_one_redis_whose_names_contain_each_other_leave_each_other_alone",
    "test_keys_that_another_warehouse_pushed_are_an_error_until_they_are_taken_over",
    "test_a_warehouse_restored_from_an_older_copy_sends_everything_that_it_cannot_vouch_for",
    "test_a_warehouse_that_lost_its_states_sends_everything",
    "test_another_warehouse_at_the_same_address_is_told_from_the_one_before",
    "test_a_mark_of_an_older_version_is_of_the_warehouse_that_remembers_its_push",
    "test_without_a_table_that_it_keeps_a_push_sends_everything",
    "test_every_kind_of_change_in_a_long_history_arrives",
    "test_a_push_that_would_remove_many_entities_is_held_back_until_that_is_allowed",
    "test_a_view_that_fails_leaves_the_others_pushed_and_exits_with_an_error",
    "test_views_are_pushed_side_by_side",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build_meters(tmp_path_factory.mktemp("meters_for_a_cluster"), "duckdb", {})


@pytest.fixture(scope="module")
def cluster():
    with Cluster() as started:
        yield started


@pytest.fixture
def redis_url(cluster):
    """An empty cluster."""
    cluster.empty()
    return cluster.url


globals().update(
    {name: same_test(test_push_protocol, name) for name in QUICK}
    | {name: pytest.mark.slow(same_test(test_push_protocol, name)) for name in SLOW}
)


# What is removed from a cluster


CUSTOMERS = "select * from (values (1, 10), (2, 20), (3, 30)) as rows(customer, total)"
VISITS = "select * from (values (1, 'a', 1), (1, 'b', 2), (2, 'a', 3)) as rows(customer, shop, amount)"


@pytest.fixture
def shops(tmp_path):
    """Customers by themselves, and by shop."""
    made = UnbuiltProject(tmp_path)
    customers, both = {"customer": "customer"}, {"customer": "customer", "shop": "shop"}
    made.model(
        "totals", CUSTOMERS, meta={"feature_view": {"entities": customers, "timeless": True, "features": ["total"]}}
    )
    made.model("visits", VISITS, meta={"feature_view": {"entities": both, "timeless": True, "features": ["amount"]}})
    return made


def kept_in_slots(cluster, reference: str) -> Counter[bytes]:
    """Count what the hashes of all slots hold of a view: its fences and its marks."""
    found: Counter[bytes] = Counter()
    for node in cluster.primaries:
        with node.client() as client:
            keys = [*client.scan_iter("unbuilt:slot:*", count=10_000)]
            with client.pipeline(transaction=False) as pipeline:
                for key in keys:
                    pipeline.hkeys(key)
                fields = [field for each in pipeline.execute() for field in each]
        found.update(field for field in fields if field.endswith(f":{reference}".encode()))
    return found


def test_forget_finds_an_entity_on_all_nodes_and_says_when_it_is_gone(shops, redis_url):
    with closing(shops.open(redis_url)) as store:
        store.push(gate=False)
        traces = store.forget("customer", 1)
        held = {each.name for each in traces.traces if each.place == Place.REDIS}
        assert held == {"unbuilt:totals:{1}", "unbuilt:visits:{1|a}", "unbuilt:visits:{1|b}"}
        shops.run("delete from {schema}.totals where customer = 1", "delete from {schema}.visits where customer = 1")
        list(store.push(gate=False, allow_removals=True))
        left = store.forget("customer", 1)
        assert [each.name for each in left.traces if each.place == Place.REDIS] == []


def test_prune_removes_a_view_from_all_slots_and_leaves_the_others(shops, cluster, redis_url):
    with closing(shops.open(redis_url)) as store:
        store.push(gate=False)
    before = kept_in_slots(cluster, "totals")
    assert before == {b"f:totals": SLOTS, b"m:totals": SLOTS}
    del shops.nodes["model.unbuilt.visits"]
    with closing(shops.open(redis_url)) as store:
        done = {each.feature_view: each.is_pruned for each in store.push(gate=False, prune=True)}
        assert done == {"totals": False, "visits": True}
        (verified,) = store.verify(["totals"])
        assert (verified.is_equal, verified.matching) == (True, 3)
    assert kept_in_slots(cluster, "totals") == before
    assert kept_in_slots(cluster, "visits")[b"m:visits"] == 0
    with client_of(redis_url) as client:
        assert [*client.scan_iter("unbuilt:visits:*")] == []
        assert client.smembers("unbuilt:views") == {b"totals"}
