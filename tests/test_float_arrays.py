"""Arrays of floats: what the warehouse holds, a training set shows and Redis serves is the same, item for item."""

from __future__ import annotations

import math
import struct

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.engines import examples
from tests.support.unbuilt import UnbuiltProject

SINGLES = st.floats(width=32)
EDGES = [0.10000000149011612, -0.0, 0.0, math.nan, math.inf, -math.inf, 1.401298464324817e-45, None]
NAMES = ("singles", "doubles", "three")
rows = st.tuples(
    st.none() | st.lists(SINGLES | st.sampled_from(EDGES), max_size=6) | st.lists(SINGLES, max_size=6),
    st.none() | st.lists(st.floats() | st.none(), max_size=6) | st.lists(st.floats(), max_size=6),
    st.none() | st.lists(SINGLES | st.sampled_from(EDGES), min_size=3, max_size=3),
).map(lambda arrays: dict(zip(NAMES, arrays, strict=True)))
TYPES = {
    "duckdb": {"singles": "float[]", "doubles": "double[]", "three": "float[3]"},
    "postgres": {"singles": "real[]", "doubles": "double precision[]", "three": "real[]"},
}


@pytest.fixture(params=["duckdb", "postgres"])
def project(request, tmp_path):
    """Some arrays by id, without rows, and a spine that asks for ids 0 to 7."""
    login = None if request.param == "duckdb" else request.getfixturevalue("postgres").environment
    project = UnbuiltProject(tmp_path / "project", login=login, schema="main" if login is None else "floats")
    columns = ", ".join(f"null::{kind} as {name}" for name, kind in TYPES[request.param].items())
    project.view("arrays", f"select 1 as id, {columns} where false", features=[*TYPES[request.param]])
    asks = " union all ".join(f"select {at} as id, timestamp '2024-01-02' as asked_at" for at in range(8))
    project.model("asks", asks, event_time="asked_at")
    yield project
    project.drop()


def fill(project, held):
    """Replace all rows by those of `held`."""
    kinds = TYPES[project.adapter]
    values = [
        f"({at}, {', '.join(written(row[name], kind, project.adapter) for name, kind in kinds.items())})"
        for at, row in enumerate(held)
    ]
    project.run('delete from {schema}."arrays"', f'insert into {{schema}}."arrays" values {", ".join(values)}')


def written(array, kind, adapter):
    if array is None:
        return "null"
    items = ["null" if each is None else f"'{each!r}'" for each in array]
    text = "array[" if adapter == "postgres" else "["
    return f"({text}{', '.join(items)}]::{kind})"


def served(store, ids):
    return [each.to_dict() for each in store.get_online_features("arrays", [{"id": at} for at in ids])]


@examples(12)
@given(tables=st.lists(st.lists(rows, min_size=1, max_size=6), min_size=2, max_size=3))
def test_arrays_of_floats_are_served_and_trained_as_the_warehouse_holds_them(project, redis_url, tables):
    for held in tables:
        fill(project, held)
        with project.open(redis_url) as store:
            store.push(gate=False, allow_removals=True)
            trained = store.get_training_set("arrays", "asks").to_arrow().sort_by("id")
            found = served(store, range(len(held)))
            assert [each.is_equal for each in store.verify()] == [True]
        assert repr(found) == repr(held)
        assert repr(trained.select(NAMES).to_pylist()[: len(held)]) == repr(held)
        types = {field.name: field.type for field in trained.schema}
        assert types["singles"] == types["three"] == pyarrow.list_(pyarrow.float32())
        assert types["doubles"] == pyarrow.list_(pyarrow.float64())


def test_an_array_of_floats_is_packed_unless_it_holds_a_null(project, redis_url):
    import msgpack
    import redis

    single = struct.unpack("<f", struct.pack("<f", 0.1))[0]
    three = [1.0, -0.0, math.inf]
    fill(project, [
        {"singles": [0.1], "doubles": [0.1], "three": three},
        {"singles": [], "doubles": [], "three": None},
        {"singles": [0.1, None], "doubles": [0.1, None], "three": [None] * 3},
    ])  # fmt: skip
    with project.open(redis_url) as store, redis.Redis.from_url(redis_url) as client:
        store.push(gate=False)
        held = [msgpack.unpackb(client.get(f"unbuilt:arrays:{{{at}}}"))[2:] for at in range(3)]
    assert held == [
        [struct.pack("<f", 0.1), struct.pack("<d", 0.1), struct.pack("<3f", *three)],
        [b"", b"", None],
        [[single, None], [0.1, None], [None] * 3],
    ]


def test_rows_of_an_older_push_are_read_and_equal_and_one_that_is_cut_is_an_error(project, redis_url):
    import msgpack
    import redis

    from feature_sync.errors import OnlineStoreError

    fill(project, [{"singles": [0.1, math.nan], "doubles": [-0.0], "three": [1.0, 2.0, 3.0]}])
    key = "unbuilt:arrays:{0}"
    with project.open(redis_url) as store, redis.Redis.from_url(redis_url) as client:
        store.push(gate=False)
        (now,) = served(store, [0])
        schema_id, event_timestamp, *packed = msgpack.unpackb(client.get(key))
        old = [schema_id, event_timestamp, *now.values()]
        client.set(key, msgpack.packb(old))
        assert repr(served(store, [0])) == repr([now])
        assert [each.is_equal for each in store.verify()] == [True]
        client.set(key, msgpack.packb([*old[:3], [0.0], old[4]]))
        assert [each.is_equal for each in store.verify()] == [False]
        client.set(key, msgpack.packb([schema_id, event_timestamp, packed[0][:-1], *packed[1:]]))
        assert [each.is_equal for each in store.verify()] == [False]
        with pytest.raises(OnlineStoreError, match=r"singles: 7 bytes are not a whole number of float32.*push again"):
            served(store, [0])
