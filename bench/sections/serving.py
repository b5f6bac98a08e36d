"""Serving: what the client adds to the bare reading of the same keys, for one vector and for many; and its start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.report import Table
from bench.serving import latency, packed, rates, starts
from bench.serving.data import served

_ENTITIES = 2_000
_LEAST_ENTITIES = 500


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Time requests, rates and starts on one Redis with the same rows."""
    del folder
    with served(max(_LEAST_ENTITIES, round(_ENTITIES * scale))) as held:
        yield from latency.tables(held, scale)
        yield from rates.tables(held, scale)
        yield starts.table(held, scale)
    yield packed.table(scale)
