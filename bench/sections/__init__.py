"""The sections of the bench, one file each: they make their data, race the contenders, and return their tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from bench.report import Table
from bench.sections import (
    depth,
    extract,
    feast,
    floor,
    frames,
    generation,
    index,
    inequality,
    late,
    parquet,
    push,
    push_changes,
    push_cluster,
    push_feast,
    push_history,
    push_many,
    push_memory,
    push_streamed,
    scale,
    serving,
    serving_cluster,
    serving_feast,
    skew,
    small_spine,
    stream,
    wide,
)

Section = Callable[[Path, float], Iterator[Table]]

SECTIONS: dict[str, Section] = {
    "floor": floor.tables,
    "depth": depth.tables,
    "inequality": inequality.tables,
    "small_spine": small_spine.tables,
    "wide": wide.tables,
    "late": late.tables,
    "index": index.tables,
    "scale": scale.tables,
    "skew": skew.tables,
    "generation": generation.tables,
    "frames": frames.tables,
    "extract": extract.tables,
    "parquet": parquet.tables,
    "feast": feast.tables,
    "push": push.tables,
    "push_changes": push_changes.tables,
    "push_many": push_many.tables,
    "push_history": push_history.tables,
    "push_memory": push_memory.tables,
    "push_cluster": push_cluster.tables,
    "push_feast": push_feast.tables,
    "push_streamed": push_streamed.tables,
    "stream": stream.tables,
    "serving": serving.tables,
    "serving_cluster": serving_cluster.tables,
    "serving_feast": serving_feast.tables,
}
"""Each is given a folder to work in, and a scale for its numbers of rows."""
