"""Damages rows, schemas and keys at random: every request ends soon, with values or with one line that names the key.

`PROOF_SEED` repeats a run by the seed that it printed, `PROOF_TIMES` sets how many damages it makes.
"""

from __future__ import annotations

import json
import os
import random
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgpack
import numpy
import pandas
import pytest

from feature_sync.errors import OnlineStoreError, RequestError
from feature_sync.value_types import to_microseconds
from tests.support.memory import forget_peak, peak_bytes
from tests.support.orders import NOON, SCHEMA, VALUES, Orders

pytestmark = pytest.mark.slow
TIMES = int(os.environ.get("PROOF_TIMES", "3000"))
SEED = int(os.environ.get("PROOF_SEED", random.SystemRandom().randrange(2**32)))
KEY = "shop:orders:{1}"
LONGEST_SECONDS = 10
MOST_MEMORY = 500 * 2**20
KEY_TYPES = ("bool", "int64", "wideint", "decimal(10,2)", "string", "date", "timestamp", "timestamptz", "uuid")


@pytest.fixture
def chance():
    print(f"PROOF_SEED={SEED}")  # noqa: T201 - pytest shows it where a test fails
    return random.Random(SEED)


@pytest.fixture
def orders(redis_url):
    opened = Orders(redis_url)
    yield opened
    opened.close()


def value(chance: random.Random, depth: int = 3):
    """Anything that MessagePack holds."""
    kinds = [
        lambda: None,
        lambda: chance.random() < 0.5,
        lambda: chance.choice(
            [0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1, chance.randrange(-(2**60), 2**60)]
        ),
        lambda: chance.choice([0.0, -0.0, 1.5, 1e308, float("nan"), float("inf")]),
        lambda: chance.choice(
            ["", "1", "1e999999999", "NaN", "-", "é\u0000\x1b[2J", "9" * chance.randrange(9000), "1 day"]
        ),
        lambda: chance.randbytes(chance.randrange(20)),
        lambda: msgpack.ExtType(chance.randrange(128), chance.randbytes(4)),
        lambda: msgpack.Timestamp(chance.randrange(2**34), 0),
    ]
    if depth:
        kinds += [
            lambda: [value(chance, depth - 1) for _ in range(chance.randrange(4))],
            lambda: {
                chance.choice(["a", "b", "", 1, True]): value(chance, depth - 1) for _ in range(chance.randrange(4))
            },
        ]
    return chance.choice(kinds)()


def mangled(chance: random.Random, content: bytes) -> bytes:
    """The same bytes with some of them others, gone, doubled, or a deep nest among them."""
    spoiled = bytearray(content)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(spoiled) + 1)
        match chance.randrange(5):
            case 0:
                spoiled[at : at + 1] = chance.randbytes(1)
            case 1:
                del spoiled[at : at + chance.randrange(1, 40)]
            case 2:
                spoiled[at:at] = spoiled[: chance.randrange(1, 60)]
            case 3:
                spoiled[at:at] = chance.choice([b"\x91", b"[", b'{"a":', b"\x81\xa1a", b"("]) * chance.choice(
                    [3, 500, 200_000]
                )
            case 4:
                spoiled[at:at] = chance.choice(
                    [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\x7f\xff\xff\xff", b"9" * 5000]
                )
    return bytes(spoiled)


def row(chance: random.Random, orders: Orders) -> bytes:
    wire = [item for _, item in VALUES.values()]
    for _ in range(chance.randrange(3)):
        wire[chance.randrange(len(wire))] = value(chance)
    parts = [orders.schema.id, to_microseconds(NOON), *wire]
    if chance.random() < 0.2:
        parts[chance.randrange(2)] = value(chance)
    if chance.random() < 0.2:
        del parts[chance.randrange(len(parts)) :]
    if chance.random() < 0.2:
        parts += [value(chance) for _ in range(chance.randrange(1, 3))]
    content = msgpack.packb(parts)
    return mangled(chance, content) if chance.random() < 0.4 else content


def schema(chance: random.Random, orders: Orders) -> bytes:
    record = json.loads(orders.schema.to_json())
    types = ["int64", "array<", "struct<", '"', ">", "(", "99", ",", " ", "decimal", "", "é", "array<int64>", "date"]
    for _ in range(chance.randrange(1, 3)):
        name = chance.choice([*record, "new"])
        match chance.randrange(3):
            case 0:
                record[name] = chance.choice(
                    [None, -1, 10**30, 1.5, 1e300, "x", [], {}, [[]], [["k0", "int64"]] * 2, True]
                )
            case 1:
                kind = "".join(chance.choice(types) for _ in range(chance.choice([1, 5, 50, 20_000])))
                record["features"] = [["whole", kind]]
            case 2:
                record.pop(name, None)
    content = json.dumps(record).encode()
    return mangled(chance, content) if chance.random() < 0.5 else content


def asked(ask, *expected: type[Exception]) -> str | None:
    """Ask once; returns the one line of the error, if there is one."""
    forget_peak()
    began, before, said = time.monotonic(), peak_bytes(), None
    try:
        ask()
    except expected as failed:
        said = str(failed)
        assert "\n" not in said
    assert time.monotonic() - began < LONGEST_SECONDS
    assert peak_bytes() - before < MOST_MEMORY
    return said


def test_a_damaged_row_gives_its_values_or_an_error_that_names_it(orders, chance):
    orders.push()
    errors = 0
    for _ in range(TIMES):
        content = row(chance, orders)
        orders.client.set(KEY, content)
        said = asked(lambda: orders.read({"k0": 1}, as_of=NOON), OnlineStoreError)
        if said is not None:
            errors += 1
            assert said.startswith("orders: "), (SEED, content)
            assert KEY in said, (SEED, content)
            assert said.endswith("push again: feature-sync push --full-refresh"), (SEED, content)
    assert errors > TIMES / 10


def test_a_damaged_schema_stops_only_what_needs_it_and_is_named(orders, chance):
    orders.push()
    errors = 0
    for _ in range(TIMES):
        content = schema(chance, orders)
        field = orders.schema.id if chance.random() < 0.7 else chance.randbytes(chance.choice([0, 4, 9]))
        orders.client.delete(SCHEMA)
        if field != orders.schema.id:
            orders.client.hset(SCHEMA, orders.schema.id, orders.schema.to_json())
        orders.client.hset(SCHEMA, field, content)
        said = asked(lambda: orders.read({"k0": 1}), OnlineStoreError)
        if said is not None:
            errors += 1
            assert field == orders.schema.id, (SEED, field, content)
            assert "orders" in said, (SEED, content)
            assert "--full-refresh" in said, (SEED, content)
        asked(lambda: orders.online.view("orders").schemas(strict=True), OnlineStoreError)
    assert errors > TIMES / 10


def key(chance: random.Random):
    """Anything that a program may pass as a key."""
    number = chance.choice([0, 7, -1, 2**53 + 1, 2**63, -(2**63), 10**5000, chance.randrange(-(2**70), 2**70)])
    moment = datetime(
        chance.randrange(1, 10_000),
        chance.randrange(1, 13),
        1,
        chance.choice([0, 23]),
        tzinfo=chance.choice([None, UTC]),
    )
    texts = [
        "",
        "7",
        "\ud800",
        "é\x00|{}%",
        "1e999999999",
        "-1e-99999999",
        "nan",
        "true",
        "9" * 100_000,
        "2024-01-01",
        "0001-01-01T00:00+14:00",
    ]
    return chance.choice([
        lambda: number, lambda: float(min(number, 10**300)), lambda: Decimal(number) / chance.choice([1, 3, 10]),
        lambda: Decimal(chance.choice(["1e999999999", "-1e-999999999", "NaN", "sNaN", "Infinity", "0E-999999999"])),
        lambda: chance.choice(texts), lambda: "".join(chance.choice(texts)[:40] for _ in range(3)),
        lambda: moment, moment.date, moment.isoformat, lambda: pandas.Timestamp(chance.randrange(2**62)),
        lambda: numpy.datetime64(chance.randrange(-(2**62), 2**62), chance.choice(["s", "us", "ns", "D", "Y"])),
        lambda: numpy.float32(chance.random()), lambda: numpy.int16(chance.randrange(2**15)),
        lambda: numpy.bool_(number > 0),
        lambda: chance.choice([None, pandas.NA, pandas.NaT, float("nan"), float("inf"), numpy.datetime64("NaT")]),
        lambda: UUID(int=chance.randrange(2**128)), lambda: chance.randbytes(8),
        lambda: timedelta(chance.randrange(99)),
        lambda: chance.choice([[], {}, object(), complex(1), date.max, datetime.max.replace(tzinfo=UTC), b"", True]),
    ])()  # fmt: skip


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_any_key_is_read_exactly_or_refused_with_its_name(redis_url, chance, kind):
    orders = Orders(redis_url, [kind])
    orders.push({"string": "x", "uuid": str(UUID(int=1)), "decimal(10,2)": "1"}.get(kind, 1))
    refused = 0
    for _ in range(TIMES // 3):
        given = key(chance)
        said = asked(lambda given=given: orders.read({"k0": None}, {"k0": given}), RequestError)
        if said is not None:
            refused += 1
            assert said.startswith("entities[1]: k0: "), (SEED, said)
            assert said.endswith(f"; orders expects {kind}"), (SEED, said)
            assert len(said) < 300, (SEED, said)
    orders.close()
    assert 0 < refused < TIMES // 3
