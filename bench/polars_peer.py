"""polars' side, run by the Python of the peers: `python -m bench.polars_peer TASK`, by `run_alone`."""

from __future__ import annotations

from typing import Any

import polars

from bench.timing import Run, given_task, measured, report


def eager(task: dict[str, Any]) -> Run:
    """Read both files whole, join, and write."""

    def work() -> None:
        spine, view = polars.read_parquet(task["spine"]), polars.read_parquet(task["view"])
        _joined(spine.lazy(), view.lazy(), task).collect(engine="in-memory").write_parquet(task["output"])

    return measured(work)[1]


def streaming(task: dict[str, Any]) -> Run:
    """Let the streaming engine read, join and write."""

    def work() -> None:
        joined = _joined(polars.scan_parquet(task["spine"]), polars.scan_parquet(task["view"]), task)
        joined.sink_parquet(task["output"], engine="streaming")

    return measured(work)[1]


def _joined(spine: polars.LazyFrame, view: polars.LazyFrame, task: dict[str, Any]) -> polars.LazyFrame:
    """Join as of the moment asked; of tied rows the last answers, so they are sorted by their features, too."""
    if not task["is_sorted"]:
        spine = spine.sort("asked_at")
    if task["has_ties"]:
        view = view.sort("happened_at", *task["features"])
    elif not task["is_sorted"]:
        view = view.sort("happened_at")
    joined = spine.join_asof(
        view, left_on="asked_at", right_on="happened_at", by="entity_id", strategy="backward", check_sortedness=False
    )
    return joined.select("row_id", "entity_id", "asked_at", "label", *task["features"])


if __name__ == "__main__":
    given = given_task()
    report({"eager": eager, "streaming": streaming}[given["job"]](given))
