"""Requests a second for one entity: tasks, threads and processes, each contender in processes of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import mean, median

from bench.report import Table, Target
from bench.serving.clock import shown
from bench.serving.data import Served
from bench.serving.dialogue import Partner, partner

_ROUNDS = 7
_SECONDS = 1.0
_LEAST_SECONDS = 0.05
_SERVICE = "one_of_10"
_LEAST_REQUESTS = 60_000
_HIGHEST_P99 = 1
_THINGS = (0, 1, 2)
_OURS = "AsyncFeatureClient, 8 tasks"
_CONTENDERS = {
    "bare socket, 8 requests at once": ("pipelined", 1),
    _OURS: ("tasks", 1),
    f"{_OURS} in each of 2 processes": ("tasks", 2),
    "redis.asyncio, MGET and msgspec, 8 tasks": ("redis_tasks", 1),
    "FeatureClient": ("one_by_one", 1),
    "FeatureClient, shared by 8 threads": ("threads", 1),
    "FeatureClient in each of 2 processes": ("one_by_one", 2),
    "redis-py, MGET and msgspec": ("redis_py", 1),
}
"""The kind of worker, and how many."""


@dataclass(frozen=True)
class Rate:
    """What some processes did: requests a second in all, latencies in seconds, and processor seconds a request."""

    rate: float
    p50: float
    p99: float
    work: float


def tables(served: Served, scale: float) -> Iterator[Table]:
    """Time every kind of connection."""
    for through, url in served.urls.items():
        yield _table(served, through, url, scale)


def _table(served: Served, through: str, url: str, scale: float) -> Table:
    with ExitStack() as stack:
        workers: dict[str, list[Partner]] = {}
        for name, (kind, count) in _CONTENDERS.items():
            task = {"kind": kind, "url": url, "service": _SERVICE, "entities": served.entities, "things": _THINGS}
            workers[name] = [stack.enter_context(partner("bench.serving.worker", task)) for _ in range(count)]
            for each in workers[name]:
                served.check(name, _SERVICE, _THINGS, each.heard())
        seconds = max(_LEAST_SECONDS, _SECONDS * min(scale, 1))
        rounds = [{name: _load(some, seconds) for name, some in workers.items()} for _ in range(_ROUNDS + 1)]
    return _shown(through, {name: _median([each[name] for each in rounds[1:]]) for name in workers})


def _load(workers: Sequence[Partner], seconds: float) -> Rate:
    for each in workers:
        each.tell(seconds)
    did = [Rate(**each.heard()) for each in workers]
    return Rate(
        rate=sum(each.rate for each in did),
        p50=median(each.p50 for each in did),
        p99=max(each.p99 for each in did),
        work=mean(each.work for each in did),
    )


def _median(rates: Sequence[Rate]) -> Rate:
    return Rate(*(median(getattr(each, name) for each in rates) for name in ("rate", "p50", "p99", "work")))


def _shown(through: str, took: Mapping[str, Rate]) -> Table:
    columns = ("", "requests a second", "p50", "p99", "processor time a request")
    table = Table(f"Requests a second for one entity of 10 features, over {through}", columns)
    for name, did in took.items():
        table.add(name, f"{did.rate:,.0f}", shown(did.p50), shown(did.p99), shown(did.work))
    ours = took[_OURS]
    table.targets += [
        Target("asyncio, 8 tasks, requests a second", ours.rate, _LEAST_REQUESTS, at_least=True),
        Target("asyncio, 8 tasks, p99, ms", ours.p99 * 1_000, _HIGHEST_P99),
    ]
    table.notes.append(
        f"By the processor time that a request of the 8 tasks takes, a processor of its own would make "
        f"{1 / ours.work:,.0f} of them a second."
    )
    return table
