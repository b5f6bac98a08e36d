"""The protocol by which a stream and pushes write one view, in random schedules of a model with every kind of fault.

Two writers, two pushes at once, builds that end half way, corrections, rows that come late or early, deletions, and
restarts of Redis that lose the last writes. Without any one of its rules, the protocol goes wrong.
"""

from __future__ import annotations

import os

import pytest

from tests.support.slot_stream_model import SLOT_RULES, SlotWorld
from tests.support.stream_model import RULES, wrong

SCHEDULES = 300
MOST_SCHEDULES = 1_500
"""In so many schedules each rule that is left out must have been missed."""


def test_redis_is_right_after_every_schedule():
    assert {seed: found for seed in range(SCHEDULES) if (found := wrong(seed))} == {}


@pytest.mark.slow
def test_redis_is_right_after_ten_thousand_schedules():
    times = 10 * int(os.environ.get("PROOF_TIMES", "1000"))
    assert {seed: found for seed in range(SCHEDULES, times) if (found := wrong(seed))} == {}


@pytest.mark.parametrize("rule", RULES, ids=RULES.get)
def test_it_goes_wrong_if(rule):
    assert any(wrong(seed, frozenset([rule])) for seed in range(MOST_SCHEDULES))


def test_a_cluster_is_right_after_every_schedule_in_which_slots_fail_by_themselves():
    assert {seed: found for seed in range(SCHEDULES) if (found := wrong(seed, kind=SlotWorld))} == {}


@pytest.mark.slow
@pytest.mark.parametrize("rule", SLOT_RULES, ids=SLOT_RULES.get)
def test_on_a_cluster_it_goes_wrong_if(rule):
    assert any(wrong(seed, frozenset([rule]), kind=SlotWorld) for seed in range(MOST_SCHEDULES))
