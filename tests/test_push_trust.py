"""When changes are enough, and when a row ends: the push's two rules that need neither a warehouse nor a Redis."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from feature_sync.errors import OnlineStoreError
from feature_sync.online.base import ServerState
from feature_sync.online.codec import RowSchema
from feature_sync.online.keys import row_key_writer
from feature_sync.online.marks import DONE, SENDING, Mark
from feature_sync.online.rows import RowEncoder
from feature_sync.push.plan import Action, Candidates, Expected, OnlineState, plan_push
from feature_sync.push.report import PushOptions
from feature_sync.push.state import Committed, State, Unfinished
from feature_sync.value_types import ValueType

RESTORED = "Redis or the warehouse was restored, or a full push did not end"
SAME = "Redis holds the rows of the last push"
EVICTED = "Redis has evicted keys, or may have"
MARK = Mark(push="second", status=DONE, warehouse="here", warehouse_id="ours", run_id="run", evicted_keys=5)
SERVER = ServerState(run_id="run", evicted_keys=5, may_evict=False, eviction_policy="noeviction")
ONLINE = OnlineState(store="redis", server=SERVER, mark=MARK)
COMMITTED = Committed(push="second", table="rows", rows=3, definition="as it is", candidates=3, digest=None)
EXPECTED = Expected(
    reference="view", address="here", warehouse_id="ours", definition="as it is", options=PushOptions(state_schema="s")
)


def marked(**changes) -> OnlineState:
    return replace(ONLINE, mark=msgspec.structs.replace(MARK, **changes))


def on_server(**changes) -> OnlineState:
    return replace(ONLINE, server=replace(SERVER, **changes))


def unfinished(*pushes: str, is_full: bool = False) -> State:
    return State(committed=COMMITTED, unfinished=Unfinished(pushes=pushes, table="changes", is_full=is_full))


@pytest.mark.parametrize(
    ("online", "state", "reason"),
    [
        pytest.param(ONLINE, State(committed=COMMITTED), None, id="both tell of the same push"),
        pytest.param(marked(status=SENDING), State(committed=COMMITTED), RESTORED, id="it did not end in Redis"),
        pytest.param(marked(push="first"), State(committed=COMMITTED), RESTORED, id="Redis tells of an older push"),
        pytest.param(ONLINE, unfinished("third"), None, id="one began and has sent nothing"),
        pytest.param(marked(push="third", status=SENDING), unfinished("third"), None, id="one was cut off"),
        pytest.param(marked(push="third"), unfinished("third"), None, id="one was not committed"),
        pytest.param(marked(push="third"), unfinished("third", "fourth"), None, id="two were cut off"),
        pytest.param(marked(push="first"), unfinished("third"), RESTORED, id="one was cut off, and Redis went back"),
        pytest.param(ONLINE, unfinished("third", is_full=True), RESTORED, id="a full one was cut off"),
        pytest.param(on_server(evicted_keys=6), State(committed=COMMITTED), EVICTED, id="more keys are evicted"),
        pytest.param(on_server(evicted_keys=4), State(committed=COMMITTED), EVICTED, id="another run's count"),
        pytest.param(on_server(run_id="next"), State(committed=COMMITTED), None, id="it was restarted"),
        pytest.param(
            on_server(run_id="next", may_evict=True), State(committed=COMMITTED), EVICTED,
            id="it was restarted, and may have evicted before",
        ),
        pytest.param(on_server(may_evict=True), State(committed=COMMITTED), None, id="it may evict, and has not"),
        pytest.param(replace(ONLINE, mark=None), State(), "first push", id="neither knows of any"),
        pytest.param(
            replace(ONLINE, mark=None), State(committed=COMMITTED), "Redis has lost what was pushed before",
            id="Redis knows of none",
        ),
        pytest.param(ONLINE, State(), "the warehouse has no record of what Redis holds", id="it is forgotten"),
        pytest.param(
            ONLINE, State(committed=msgspec.structs.replace(COMMITTED, definition="as it was")),
            "its definition has changed", id="another definition was pushed",
        ),
    ],
)  # fmt: skip
def test_changes_are_enough_only_where_redis_and_the_warehouse_tell_of_the_same_pushes(online, state, reason):
    plan = plan_push(online, state, EXPECTED, None)
    expected = (Action.SEND_CHANGES, SAME) if reason is None else (Action.SEND_ALL, reason)
    assert (plan.action, plan.reason) == expected


def test_nothing_is_sent_only_where_the_rows_are_those_of_a_push_that_ended():
    same, state = Candidates(3, None), State(committed=COMMITTED)
    assert plan_push(ONLINE, state, EXPECTED, same).action is Action.SKIP
    assert plan_push(ONLINE, state, EXPECTED, Candidates(4, None)).action is Action.SEND_CHANGES
    assert plan_push(ONLINE, state, EXPECTED, Candidates(3, "7")).action is Action.SEND_CHANGES
    assert plan_push(ONLINE, unfinished("third"), EXPECTED, same).action is Action.SEND_CHANGES
    assert plan_push(marked(push="first"), state, EXPECTED, same).action is Action.SEND_ALL


def test_keys_of_another_warehouse_are_refused_until_they_are_taken_over():
    for online in (marked(warehouse="there"), marked(warehouse_id="theirs"), marked(warehouse_id="", push="first")):
        with pytest.raises(OnlineStoreError, match="view in Redis was pushed from"):
            plan_push(online, State(committed=COMMITTED), EXPECTED, None)
        adopting = replace(EXPECTED, options=PushOptions(state_schema="s", take_over=True))
        plan = plan_push(online, State(committed=COMMITTED), adopting, Candidates(3, None))
        assert (plan.action, plan.reason) == (Action.SEND_ALL, "taken over from another warehouse")
    older = plan_push(marked(warehouse_id=""), State(committed=COMMITTED), EXPECTED, None)
    assert older.action is Action.SEND_CHANGES


def encoder(schema: RowSchema, lag: int, *, expires: bool) -> RowEncoder:
    """Encode rows of `p:v`; `lag` is in microseconds."""
    write_keys = row_key_writer("p", "v", [kind for _, kind in schema.keys])
    return RowEncoder(write_keys, schema, lag=timedelta(microseconds=lag), expires=expires)


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
    schema = RowSchema(
        keys=(("key", ValueType("int64")),),
        features=(("value", ValueType("int64")),),
        ttl=None if ttl is None else timedelta(milliseconds=ttl),
    )
    columns = [[1], [2_000], [valid_until], [7]]
    ((key, _, expires_at),) = encoder(schema, lag, expires=True).encode(columns)
    assert (key, expires_at) == (b"p:v:{1}", expiry)
    ((_, _, expires_at),) = encoder(schema, lag, expires=False).encode(columns)
    assert expires_at is None  # at a fixed clock Redis keeps all


def test_a_ttl_that_ends_within_a_millisecond_is_rounded_up():
    schema = RowSchema(keys=(("key", ValueType("int64")),), features=(), ttl=timedelta(milliseconds=1))
    rows = encoder(schema, 0, expires=True).encode([[1, 2], [2_000, 2_001], [None, None]])
    assert [expires_at for _, _, expires_at in rows] == [3, 4]
