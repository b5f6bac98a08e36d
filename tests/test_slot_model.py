"""The protocol of pushes to a cluster as a model: crashes, failovers that lose writes, and slots that move."""

from __future__ import annotations

import pytest

from tests.support.slot_model import ends_wrong

RUNS = 1_500


def test_whatever_a_failover_loses_the_next_push_puts_right():
    assert [seed for seed in range(RUNS) if ends_wrong(seed, "slots")[0]] == []


@pytest.mark.parametrize("marks", ["view", "slots, but repaired ones as sending"])
def test_a_weaker_mark_leaves_something_wrong(marks):
    assert any(ends_wrong(seed, marks)[0] for seed in range(RUNS))
