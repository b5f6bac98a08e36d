"""The latency of requests: the client in all forms of its answers, beside the bare reading of the same keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any

import redis

from bench.report import Table, Target
from bench.serving.bare import BareSocket, by_redis_py, by_socket, values_of
from bench.serving.clock import Spread, race, repeated, spreads
from bench.serving.data import Served
from bench.serving.names import KEY, PREFIX, TIMEOUT, TITLES, row_keys
from feature_sync import FeatureClient

COUNTS = {1: 2_000, 10: 1_000, 100: 300, 500: 120}
"""How many entities are asked for, and how many times."""
_LIMIT, _OURS, _NUMPY = "redis-py, MGET and msgspec", "feature-sync, vectors", "feature-sync, to_numpy()"
_HIGHEST = {1: 1.3, 100: 1.5, 500: 1.5}
_HIGHEST_NUMPY = 1.2
_HIGHEST_P99 = 10


def tables(served: Served, scale: float) -> Iterator[Table]:
    """Time every service over every kind of connection."""
    for service in TITLES:
        for through, url in served.urls.items():
            yield _table(served, service, through, url, scale)


def asker(client: FeatureClient, things: Sequence[int]) -> Callable[[], Any]:
    """Ask for one vector, or for many."""
    if len(things) == 1:
        return lambda: client.get(thing_id=things[0])
    rows = [{KEY: each} for each in things]
    return lambda: client.get_many(rows)


def heads(counts: Sequence[int]) -> list[str]:
    """Name the columns of p50 and p99."""
    return [head for each in counts for head in (f"{each} {'entity' if each == 1 else 'entities'}, p50", "p99")]


def _table(served: Served, service: str, through: str, url: str, scale: float) -> Table:
    took: dict[int, dict[str, Spread]] = {}
    with ExitStack() as stack:
        client = stack.enter_context(FeatureClient(url, service, prefix=PREFIX, timeout=TIMEOUT))
        plain = stack.enter_context(redis.Redis.from_url(url))
        bare = stack.enter_context(closing(BareSocket(url)))
        for count, times in COUNTS.items():
            things = [*range(count)]
            keys = row_keys(service, things)
            readers = {_LIMIT: by_redis_py(plain, keys), "bare socket, hiredis and msgspec": by_socket(bare, keys)}
            for name, read in readers.items():
                served.check(name, service, things, values_of(read(), count))
            forms = _forms(asker(client, things))
            _check(served, service, things, forms)
            contenders = {name: repeated(work) for name, work in {**readers, **forms}.items()}
            took[count] = race(contenders, times=round(times * scale))
    return _shown(service, through, took)


def _forms(ask: Callable[[], Any]) -> dict[str, Callable[[], Any]]:
    """Ask for each form of the answer."""
    return {
        _OURS: ask,
        "feature-sync, to_dict()": lambda: ask().to_dict(),
        _NUMPY: lambda: ask().to_numpy(),
        "feature-sync, to_pandas()": lambda: ask().to_pandas(),
    }


def _check(served: Served, service: str, things: Sequence[int], forms: dict[str, Callable[[], Any]]) -> None:
    vectors, named, matrix, frame = (form() for form in forms.values())
    listed = [vectors] if len(things) == 1 else vectors
    columns = [[value] for value in named.values()] if len(things) == 1 else named.values()
    found = {
        "vectors": [[*each.values()] for each in listed],
        "to_dict": [*zip(*columns, strict=True)],
        "to_numpy": matrix.tolist(),
        "to_pandas": frame.to_numpy().tolist(),
    }
    for name, rows in found.items():
        served.check(name, service, things, rows)


def _shown(service: str, through: str, took: dict[int, dict[str, Spread]]) -> Table:
    table = Table(f"Requests for {TITLES[service]}, over {through}", ("", *heads([*took])))
    for name in took[1]:
        table.add(name, *spreads(each[name] for each in took.values()))
    for count, highest in _HIGHEST.items():
        ratio = took[count][_OURS].p50 / took[count][_LIMIT].p50
        entities = "one entity" if count == 1 else f"{count} entities"
        table.targets.append(Target(f"Vectors of {entities}, p50, times redis-py's", ratio, highest))
    if service == "one_of_50":
        ratio = took[500][_NUMPY].p50 / took[500][_LIMIT].p50
        table.targets.append(Target("500 entities to NumPy, p50, times redis-py's rows", ratio, _HIGHEST_NUMPY))
    if service == "three_of_50":
        table.targets.append(Target("Vectors of 500 entities, p99, ms", took[500][_OURS].p99 * 1_000, _HIGHEST_P99))
    return table
