"""Writing rows to a Redis Cluster, each under the fence of its slot, and to one Redis, by the writers of a push."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

from bench.cluster import empty_cluster
from bench.engines import WrongAnswer
from bench.online import empty_redis, listen
from bench.report import Table, Target, number, seconds
from bench.timing import Run, clock, race
from feature_sync.online.base import OnlineStore
from feature_sync.online.redis.opening import open_online_store
from feature_sync.online.rows import Row

_ROWS = 500_000
_ROWS_PER_BATCH = 512
_VALUE_BYTES = 112
_LEAST_OF_ONE = 0.4
_UNTIL = 1_999_999_999_999
_PREFIX, _VIEW = "bench", "entities"
_ONE, _CLUSTER = "one Redis", "a cluster of three nodes"


def tables(folder: Path, scale: float) -> Iterator[Table]:
    """Write the same rows to both."""
    del folder
    count = max(2_000, round(_ROWS * scale))
    with empty_redis() as (_, client), empty_cluster() as cluster_url:
        urls = {_ONE: f"redis://{listen(client)}", _CLUSTER: cluster_url}
        stores = {name: open_online_store(url, key_prefix=_PREFIX, timeout=60) for name, url in urls.items()}
        with closing(stores[_ONE]), closing(stores[_CLUSTER]):
            rows = [_row(at) for at in range(count)]
            rivals = {name: partial(_write, store, rows) for name, store in stores.items()}
            took = race(rivals, check=lambda ended: [_check(stores[each], rows) for each in ended])
    yield _shown(took, count)


def _row(at: int) -> Row:
    return b"%b:%b:{%d}" % (_PREFIX.encode(), _VIEW.encode(), at), (b"%d " % at).ljust(_VALUE_BYTES, b"."), _UNTIL


def _write(store: OnlineStore, rows: list[Row]) -> Run:
    batches = [rows[at : at + _ROWS_PER_BATCH] for at in range(0, len(rows), _ROWS_PER_BATCH)]
    view = store.view(_VIEW)
    with view.hold(duration=timedelta(seconds=30), wait=False, stopped=lambda: False) as writer:
        return clock(lambda: writer.write(batches))


def _check(store: OnlineStore, rows: list[Row]) -> None:
    view = store.view(_VIEW)
    found = sum(map(len, view.row_keys()))
    batches = (rows[at : at + _ROWS_PER_BATCH] for at in range(0, len(rows), _ROWS_PER_BATCH))
    different = [held for _, held in view.comparer().compare(batches) if held is not None]
    if found != len(rows) or different:
        raise WrongAnswer(f"{found:,} rows instead of {len(rows):,}, {len(different)} batches differ")


def _shown(took: dict[str, Run], count: int) -> Table:
    table = Table(f"{number(count)} rows, fenced, over TCP", ("to", "seconds", "rows a second"))
    for name, run in took.items():
        table.add(name, seconds(run), number(count / run.seconds))
    share = took[_ONE].seconds / took[_CLUSTER].seconds
    table.targets.append(Target("Speed of a cluster, share of one Redis's", share, _LEAST_OF_ONE, at_least=True))
    table.notes.append(
        "The rows of a slot are written by one script, which compares the fence of that slot; the three nodes, and the "
        "writer, share this machine's cores. Not timed: taking the lease, and marking the 16,384 slots, three times."
    )
    return table
