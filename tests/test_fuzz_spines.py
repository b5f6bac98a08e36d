"""Spines damaged at random end in an answer for each row or in one clear line: no traceback, no hang, no flood.

`PROOF_TIMES=1000` makes twenty times as many, `PROOF_SEED=7` repeats a run.
"""

from __future__ import annotations

import os
import random
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pandas
import pyarrow
import pyarrow.parquet
import pytest

from feature_sync.errors import FeatureSyncError
from tests.support.memory import forget_peak, peak_bytes
from tests.support.unbuilt import UnbuiltProject

pytestmark = pytest.mark.slow

TIMES = 3 * int(os.environ.get("PROOF_TIMES", "50"))
SEED = int(os.environ.get("PROOF_SEED") or random.SystemRandom().randrange(1_000_000))
MOST_SECONDS = 10
MOST_BYTES = 500_000 * 1024
LONGEST_LINE = 1_000

VALUES = [
    "1",
    "",
    "-1",
    "1e999999999",
    "9" * 5_000,
    "NaN",
    "infinity",
    "-infinity",
    "null",
    "NULL",
    '""',
    '"',
    '"a',
    'a"b',
    "\x00",
    "\ufeff",
    "\ud800",
    "é",
    "\u202e",
    "2024-01-02",
    "2024-01-02T00:00:00Z",
    "0001-01-01",
    "9999-12-31 23:59:59.999999",
    "10000-01-01",
    "-0044-03-15",
    "2024-02-30",
    "2024-01-02 00:00:00.123456789",
    "2024-01-02T00:00:00+14:00",
    "0",
    "1.5",
    "True",
    "x" * 100_000,
    "a,b",
    "\n",
    "\r",
    "{}",
    "[1]",
    "\\",
    "';--",
    "%s",
    "{{ 1 }}",
    "1_000",
    "0x1F",
    " 1",
    "٣",
]
NAMES = [
    "id",
    "ID",
    "event_timestamp",
    "Event_Timestamp",
    "amount",
    "note",
    "",
    '"',
    "a b",
    "é",
    "id ",
    "_event_timestamp",
    "spine",
    "x" * 300,
    "\x1b[31m",
    "day",
]
COLUMNS = [
    pyarrow.array([1, None]),
    pyarrow.array([1.5, float("nan")]),
    pyarrow.array([True, None]),
    pyarrow.array(["1", None]),
    pyarrow.array([b"\xff", None]),
    pyarrow.array([date(1, 1, 1), date(9999, 12, 31)]),
    pyarrow.nulls(2),
    pyarrow.array([datetime(2024, 1, 2), None]),
    pyarrow.array([datetime(2024, 1, 2, tzinfo=UTC), None]),
    pyarrow.array([2**63 - 1, -(2**63)]).view(pyarrow.timestamp("us")),
    pyarrow.array([Decimal("1.0"), None]),
    pyarrow.array([2**63 - 1, 1]).view(pyarrow.timestamp("ns", tz="Europe/Paris")),
    pyarrow.array([2**64 - 1, 0], pyarrow.uint64()),
    pyarrow.array([2**62, None]).view(pyarrow.timestamp("s")),
    pyarrow.array([[1], None]),
    pyarrow.array([{"a": 1}, None]),
    pyarrow.array(["a", "b"]).dictionary_encode(),
    pyarrow.array([timedelta(days=1), None]),
    pyarrow.array([1, 2], pyarrow.int8()),
    pyarrow.array([10**9, 2**31 - 1], pyarrow.int32()).view(pyarrow.date32()),
    pyarrow.array([1, 2], pyarrow.time64("ns")),
    pyarrow.array(["1", "2"], pyarrow.large_string()),
    pyarrow.array([Decimal(10) ** 60, None], pyarrow.decimal256(76, 0)),
    pyarrow.array([1.0, 2.0], pyarrow.float16()),
    pyarrow.array([86_400_000 * 10**6, 0]).view(pyarrow.date64()),
]
QUERIES = [
    "select 1 as id, timestamp '2024-01-02' as event_timestamp",
    "select",
    "(",
    ")",
    ";",
    "--",
    "/*",
    "*/",
    "'",
    '"',
    "$$",
    "E'\\'",
    " union all ",
    " as x; drop table amounts; ",
    "select * from amounts",
    " limit 1",
    " order by 1",
    "with a as (",
    "values (1)",
    "infinity",
    "'0001-01-01 (BC)'",
    "{{",
    "{%",
    "\x00",
    "é",
    "(" * 500,
    ",",
    " where ",
    "null",
    "1/0",
    "cast('x' as date)",
]


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def store(request, tmp_path_factory):
    login = None if request.param == "duckdb" else request.getfixturevalue("postgres").environment
    schema = "main" if login is None else "fuzzed_spines"
    project = UnbuiltProject(tmp_path_factory.mktemp("fuzzed"), login=login, schema=schema)
    project.view("amounts", "select 1 as id, date '2024-01-01' as day, 7 as amount", event_time="day", lag="0d",
                 ttl="30d", features=["amount"])  # fmt: skip
    with project.open("redis://127.0.0.1:1") as opened:
        yield opened
    project.drop()


def damaged_csv(chance: random.Random, folder) -> tuple[object, dict, int | None]:
    """A CSV file whose fields, or bytes, are anything; how many rows it has is known to none but its reader."""
    rows = [
        ["id", "event_timestamp", "note"],
        *([str(at), "2024-01-02", f"n{at}"] for at in range(chance.randint(0, 9))),
    ]
    for _ in range(chance.choice([0, 1, 1, 2, 4])):
        row = chance.choice(rows)
        row[chance.randrange(len(row))] = chance.choice(NAMES if row is rows[0] else VALUES)
    content = bytearray("\n".join(map(",".join, rows)).encode("utf-8", "surrogatepass"))
    for _ in range(chance.choice([0, 0, 0, 1, 5])):
        at = chance.randrange(len(content) + 1)
        content[at : at + chance.randint(0, 2)] = chance.choice([b'"', b"\xff", b"\r", b"\n", b",", b"\x00", b""])
    path = folder / "spine.csv"
    path.write_bytes(content)
    return path, {}, None


def odd_table(chance: random.Random, folder) -> tuple[object, dict, int | None]:
    """A Parquet file, cut off now and then, an Arrow table or a pandas frame with columns of any type."""
    names = ["id", "event_timestamp", *chance.sample(NAMES, chance.randint(0, 3))]
    usual = [
        pyarrow.array([1, 2]),
        pyarrow.array([datetime(2024, 1, 2)] * 2),
        *chance.choices(COLUMNS, k=len(names) - 2),
    ]
    columns = [chance.choice([*[column] * 5, chance.choice(COLUMNS)]) for column in usual]
    table = pyarrow.Table.from_arrays(columns, names=names)
    kind = chance.choice(["file", "table", "frame"])
    if kind == "table":
        return table, {}, 2
    if kind == "frame":
        try:
            return table.to_pandas(), {}, 2
        except (ValueError, OverflowError, pyarrow.ArrowException, NotImplementedError):
            return pandas.DataFrame({"id": [1, "x"], "event_timestamp": [pandas.NaT, object()]}), {}, 2
    path = folder / "spine.parquet"
    try:
        pyarrow.parquet.write_table(table, path)
    except pyarrow.ArrowException:
        path.write_bytes(b"PAR1")
    if chance.random() < 0.2:
        path.write_bytes(path.read_bytes()[: chance.randrange(200)])
    return path, {}, None


def typed_query(chance: random.Random, folder) -> tuple[object, dict, int | None]:
    """A query of pieces, or a good one with pieces in it."""
    pieces = chance.choices(QUERIES, k=chance.randint(1, 4))
    good = QUERIES[0]
    at = chance.randrange(len(good))
    text = chance.choice([" ".join(pieces), good + "".join(pieces), good[:at] + pieces[0] + good[at:]])
    return None, {"spine_sql": text}, None


def options(chance: random.Random) -> dict:
    offered = {
        "event_timestamp": NAMES,
        "since": ["2024-01-01", "0001-01-01", "9999-12-31", "x", "0001-01-01T00:00:00+14:00"],
        "until": ["2024-01-03", "9999-12-31T23:59:59-14:00", ""],
        "sample": [0.5, 0, -1, float("nan"), 1e-300],
        "limit": [0, 1, -1, 10**30],
        "order_by": ["id desc", ",", "", "id, id", "x", "note nulls first"],
    }
    chosen = [name for name in offered if chance.random() < 0.08]
    return {name: chance.choice(offered[name]) for name in chosen}


def test_a_damaged_spine_is_answered_row_by_row_or_refused_in_one_clear_line(store, tmp_path):
    print(f"PROOF_SEED={SEED}")  # noqa: T201 - the proof's own report
    chance = random.Random(SEED)
    answered = refused = 0
    for at in range(TIMES):
        folder = tmp_path / str(at)
        folder.mkdir()
        spine, given, rows = chance.choice([damaged_csv, odd_table, typed_query])(chance, folder)
        given |= options(chance)
        shape = getattr(spine, "schema", getattr(spine, "dtypes", None))  # some values have no repr
        case = f"seed {SEED}, case {at}: {spine if shape is None else shape} {given!r}"[:2_000]
        forget_peak()
        before, began = peak_bytes(), time.monotonic()
        try:
            store.get_training_set("amounts", spine, **given).write(folder / f"set.{chance.choice(['csv', 'parquet'])}")
        except FeatureSyncError as clear:
            refused += 1
            line = str(clear)
            assert line.strip(), case
            assert "\n" not in line, case
            assert len(line) < LONGEST_LINE, (case, line[:200])
            assert not [each for each in folder.iterdir() if each.name.startswith(("set", "."))], case
        except Exception as wrong:
            raise AssertionError(case) from wrong
        else:
            answered += 1
            (written,) = (each for each in folder.iterdir() if each.name in ("set.csv", "set.parquet"))
            if rows is not None and not given and written.suffix == ".parquet":
                assert pyarrow.parquet.read_metadata(written).num_rows == rows, case
        assert time.monotonic() - began < MOST_SECONDS, case
        assert peak_bytes() - before < MOST_BYTES, case
    print(f"{answered} answered, {refused} refused")  # noqa: T201
    assert answered > TIMES / 20
    assert refused > TIMES / 20
