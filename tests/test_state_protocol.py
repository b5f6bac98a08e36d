"""The push's protocol with states kept elsewhere than the rows: what holds beside them holds there word for word."""

from __future__ import annotations

import pytest

from tests import test_push_protocol
from tests.support.meters import build_meters
from tests.support.same import same_test
from tests.test_push_protocol import environment, meters, own

__all__ = ["environment", "meters", "own"]
pytestmark = pytest.mark.slow
TESTS = (
    "test_a_late_row_below_every_earlier_timestamp_changes_nothing_and_answers_once_the_newer_ones_are_gone",
    "test_a_row_that_is_true_since_ever_answers_until_another_comes",
    "test_a_correction_with_the_same_timestamp_wins_by_its_created_timestamp",
    "test_a_correction_in_place_is_sent_although_no_timestamp_grew",
    "test_values_that_entities_exchange_are_sent",
    "test_a_deleted_entity_goes_and_comes_back_with_the_same_row",
    "test_one_percent_changed_sends_exactly_those_rows",
    "test_rows_that_are_written_anew_unchanged_and_in_another_order_send_no_row",
    "test_a_full_refresh_sends_every_row_and_removes_what_nobody_pushed",
    "test_a_row_whose_ttl_ends_between_two_pushes_is_gone_whether_or_not_redis_saw_it_end",
    "test_at_fixed_clocks_rows_end_with_their_ttl_and_come_back_when_the_clock_goes_back",
    "test_an_emptied_redis_is_filled_again",
    "test_what_an_unfinished_push_touched_is_sent_again_though_the_rows_are_as_before",
    "test_a_dry_run_counts_what_the_push_then_does",
    "test_keys_that_another_warehouse_pushed_are_an_error_until_they_are_taken_over",
    "test_a_warehouse_restored_from_an_older_copy_sends_everything_that_it_cannot_vouch_for",
    "test_a_warehouse_that_lost_its_states_sends_everything",
    "test_another_warehouse_at_the_same_address_is_told_from_the_one_before",
    "test_without_a_table_that_it_keeps_a_push_sends_everything",
    "test_pushes_leave_no_table_behind_but_the_newest_rows",
    "test_every_kind_of_change_in_a_long_history_arrives",
    "test_a_push_walks_along_an_index_that_dbt_does_not_know",
    "test_a_push_that_would_remove_many_entities_is_held_back_until_that_is_allowed",
    "test_all_views_that_fail_are_told_each_with_its_reason",
)


@pytest.fixture(scope="module", params=["duckdb-postgres", "postgres-duckdb"])
def built(request, tmp_path_factory):
    """The warehouse of the rows, and that of the states."""
    target, state = request.param.split("-")
    environment = dict(request.getfixturevalue("postgres").environment)
    return build_meters(tmp_path_factory.mktemp(f"meters_on_{target}"), target, environment, state)


globals().update({name: same_test(test_push_protocol, name) for name in TESTS})
