"""Arrays of floats in a row: packed bytes, as pushes write them, against MessagePack's numbers."""

from __future__ import annotations

import random
from array import array
from functools import partial
from typing import Any

import numpy

from bench.engines import WrongAnswer
from bench.report import Table, Target, number
from bench.serving.bare import decode
from bench.serving.clock import Spread, race, repeated, shown
from feature_sync.online.codec import encode_row, read_value
from feature_sync.online.floats import packer
from feature_sync.value_types import ValueType

_WIDTH = 768
_TIMES = 4_000
_HIGHEST_SIZE = 0.5
_LEAST_TIMES = 10
_ENCODE = "encode"
_PACKED, _NUMBERS = "packed bytes", "MessagePack's numbers"
_KIND = ValueType("array", element=ValueType("float32"))


def table(scale: float) -> Table:
    """Time writing a row, and reading it into a list and into NumPy."""
    pack = packer(_KIND)
    chance = random.Random(_WIDTH)  # noqa: S311 - not for secrets
    values = array("f", [chance.gauss(0, 1) for _ in range(_WIDTH)]).tolist()
    writes = {_PACKED: lambda: encode_row([pack(values)]), _NUMBERS: lambda: encode_row([values])}
    rows = {name: write() for name, write in writes.items()}
    for name, content in rows.items():
        if _to_list(content) != values or _to_numpy(content).tolist() != values:
            raise WrongAnswer(f"{name} are read as other numbers")
    steps = {
        _ENCODE: writes,
        "decode to a list": {name: partial(_to_list, content) for name, content in rows.items()},
        "decode to NumPy": {name: partial(_to_numpy, content) for name, content in rows.items()},
    }
    took = {
        step: race({name: repeated(work) for name, work in works.items()}, times=round(_TIMES * scale))
        for step, works in steps.items()
    }
    return _shown(rows, took)


def _to_list(content: bytes) -> Any:
    return read_value(decode(content)[0], _KIND)


def _to_numpy(content: bytes) -> Any:
    (value,) = decode(content)
    return numpy.frombuffer(value, dtype="<f4") if isinstance(value, bytes) else numpy.array(value, dtype="<f4")


def _shown(rows: dict[str, bytes], took: dict[str, dict[str, Spread]]) -> Table:
    table = Table(f"An array of {_WIDTH} float32", ("", "bytes", *took))
    for name, content in rows.items():
        table.add(name, f"{len(content):,}", *(shown(each[name].p50) for each in took.values()))
    ratios = [each[_NUMBERS].p50 / each[_PACKED].p50 for each in took.values()]
    size = len(rows[_PACKED]) / len(rows[_NUMBERS])
    table.add("times smaller, or faster", *(f"{number(each)} ×" for each in (1 / size, *ratios)))
    table.targets.append(Target("Packed, share of MessagePack's bytes", size, _HIGHEST_SIZE))
    table.targets += [
        Target(f"Packed, {step}, times as fast", ratio, _LEAST_TIMES, at_least=True)
        for step, ratio in zip(took, ratios, strict=True)
        if step != _ENCODE
    ]
    table.notes.append(
        "Packing takes longer than writing MessagePack's numbers; a push pays for it, and every reader gains."
    )
    return table
