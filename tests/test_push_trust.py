"""When changes are enough, and when a row ends: the push's two rules that need neither a warehouse nor a Redis."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from feature_sync.errors import OnlineStoreError
from feature_sync.online.codec import Schema
from feature_sync.online.marks import DONE, SENDING, Mark
from feature_sync.online.rows import RowEncoder
from feature_sync.push.report import PushOptions
from feature_sync.push.trust import Expected, RedisFacts, why_full
from feature_sync.push_state import Committed, State, Unfinished
from feature_sync.value_types import ValueType

RESTORED = "Redis or the warehouse was restored, or a full push did not end"
EVICTED = "Redis has evicted keys, or may have"
MARK = Mark(push="second", status=DONE, warehouse="here", warehouse_id="ours", run_id="run", evicted_keys=5)
FACTS = RedisFacts(store="redis", run_id="run", mark=MARK, evicted_keys=5, may_evict=False)
COMMITTED = Committed(push="second", table="rows", rows=3, definition="as it is", candidates=3, digest=None)
EXPECTED = Expected(
    reference="view", place="here", warehouse_id="ours", definition="as it is", options=PushOptions(schema="s")
)


def marked(**changes) -> RedisFacts:
    return replace(FACTS, mark=msgspec.structs.replace(MARK, **changes))


def unfinished(*pushes: str, is_full: bool = False) -> State:
    return State(committed=COMMITTED, unfinished=Unfinished(pushes=pushes, table="changes", is_full=is_full))


@pytest.mark.parametrize(
    ("facts", "state", "reason"),
    [
        pytest.param(FACTS, State(committed=COMMITTED), None, id="both tell of the same push"),
        pytest.param(marked(status=SENDING), State(committed=COMMITTED), RESTORED, id="it did not end in Redis"),
        pytest.param(marked(push="first"), State(committed=COMMITTED), RESTORED, id="Redis tells of an older push"),
        pytest.param(FACTS, unfinished("third"), None, id="one began and has sent nothing"),
        pytest.param(marked(push="third", status=SENDING), unfinished("third"), None, id="one was cut off"),
        pytest.param(marked(push="third"), unfinished("third"), None, id="one was not committed"),
        pytest.param(marked(push="third"), unfinished("third", "fourth"), None, id="two were cut off"),
        pytest.param(marked(push="first"), unfinished("third"), RESTORED, id="one was cut off, and Redis went back"),
        pytest.param(FACTS, unfinished("third", is_full=True), RESTORED, id="a full one was cut off"),
        pytest.param(replace(FACTS, evicted_keys=6), State(committed=COMMITTED), EVICTED, id="more keys are evicted"),
        pytest.param(replace(FACTS, evicted_keys=4), State(committed=COMMITTED), EVICTED, id="another run's count"),
        pytest.param(replace(FACTS, run_id="next"), State(committed=COMMITTED), None, id="it was restarted"),
        pytest.param(
            replace(FACTS, run_id="next", may_evict=True), State(committed=COMMITTED), EVICTED,
            id="it was restarted, and may have evicted before",
        ),
        pytest.param(replace(FACTS, may_evict=True), State(committed=COMMITTED), None, id="it may evict, and has not"),
        pytest.param(replace(FACTS, mark=None), State(), "first push", id="neither knows of any"),
        pytest.param(
            replace(FACTS, mark=None), State(committed=COMMITTED), "Redis has lost what was pushed before",
            id="Redis knows of none",
        ),
        pytest.param(FACTS, State(), "the warehouse has no record of what Redis holds", id="it is forgotten"),
        pytest.param(
            FACTS, State(committed=msgspec.structs.replace(COMMITTED, definition="as it was")),
            "its definition has changed", id="another definition was pushed",
        ),
    ],
)  # fmt: skip
def test_changes_are_enough_only_where_redis_and_the_warehouse_tell_of_the_same_pushes(facts, state, reason):
    assert why_full(facts, state, EXPECTED) == reason


def test_keys_of_another_warehouse_are_refused_until_they_are_taken_over():
    for facts in (marked(warehouse="there"), marked(warehouse_id="theirs"), marked(warehouse_id="", push="first")):
        with pytest.raises(OnlineStoreError, match="view in Redis was pushed from"):
            why_full(facts, State(committed=COMMITTED), EXPECTED)
        adopting = replace(EXPECTED, options=PushOptions(schema="s", take_over=True))
        assert why_full(facts, State(committed=COMMITTED), adopting) == "taken over from another warehouse"
    assert why_full(marked(warehouse_id=""), State(committed=COMMITTED), EXPECTED) is None


@pytest.mark.parametrize(
    ("ttl", "lag", "valid_until", "expiry"),
    [
        pytest.param(None, 0, None, None, id="no TTL and no end"),
        pytest.param(1, 0, None, 3, id="the TTL, on a whole millisecond"),
        pytest.param(1, 5, None, 3, id="a lag prolongs no TTL"),
        pytest.param(None, 0, 7_000, 7, id="the end, on a whole millisecond"),
        pytest.param(None, 0, 7_001, 8, id="the end, rounded up"),
        pytest.param(None, 999, 6_001, 7, id="the end and the lag"),
        pytest.param(None, 1_000, 6_001, 8, id="the end and the lag, rounded up"),
        pytest.param(1, 0, 7_000, 3, id="the TTL before the end"),
        pytest.param(9, 1_000, 2_000, 3, id="the end and the lag before the TTL"),
    ],
)
def test_a_row_expires_when_its_ttl_or_its_validity_and_lag_have_passed(ttl, lag, valid_until, expiry):
    """The row is of the second millisecond; the TTL is in milliseconds, all else in microseconds."""
    schema = Schema(
        keys=(("key", ValueType("int64")),),
        features=(("value", ValueType("int64")),),
        ttl=None if ttl is None else timedelta(milliseconds=ttl),
    )
    columns = [[1], [2_000], [valid_until], [7]]
    ((key, _, expires_at),) = RowEncoder("p:v:", schema, lag=lag, expires=True).encode(columns)
    assert (key, expires_at) == (b"p:v:{1}", expiry)
    ((_, _, expires_at),) = RowEncoder("p:v:", schema, lag=lag, expires=False).encode(columns)
    assert expires_at is None  # at a fixed clock Redis keeps all


def test_a_ttl_that_ends_within_a_millisecond_is_rounded_up():
    schema = Schema(keys=(("key", ValueType("int64")),), features=(), ttl=timedelta(milliseconds=1))
    rows = RowEncoder("p:v:", schema, lag=0, expires=True).encode([[1, 2], [2_000, 2_001], [None, None]])
    assert [expires_at for _, _, expires_at in rows] == [3, 4]
