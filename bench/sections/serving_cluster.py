"""Serving from a Redis Cluster: what its nodes add to one Redis with the same keys, for one vector and for many."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.report import Table
from bench.serving import clusters
from bench.serving.data import served

_ENTITIES = 500


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Time requests to one Redis and to a cluster."""
    del folder
    with served(_ENTITIES) as held:
        yield from clusters.tables(held, scale)
