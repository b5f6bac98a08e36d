"""One process that asks for vectors as fast as it can: `python -m bench.serving.worker TASK`, told by rates.py.

It prints some answers, and then, for each number of seconds that it reads, what it did in them.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from time import perf_counter, process_time
from typing import Any

import hiredis

from bench.serving.bare import BareSocket, by_redis_py, decode, values_of
from bench.serving.clock import Spread
from bench.serving.names import PREFIX, TIMEOUT, row_keys
from bench.timing import given_task
from feature_sync import AsyncFeatureClient, FeatureClient

_TASKS = 8

Values = Callable[[int], list[Any]]
"""Returns the values of one entity."""
Load = Callable[[float], list[float]]
"""Asks for so many seconds, and returns the seconds of each request."""


def tasks(url: str, service: str, things: range) -> tuple[Values, Load]:
    """Ask with `AsyncFeatureClient`."""
    client = AsyncFeatureClient(url, service, prefix=PREFIX, timeout=TIMEOUT)

    async def ask(thing: int) -> Any:
        return await client.get(thing_id=thing)

    return _of_tasks(ask, lambda vector: [*vector.values()], things)


def redis_tasks(url: str, service: str, things: range) -> tuple[Values, Load]:
    """Ask with redis-py's client for asyncio, and decode."""
    from redis.asyncio import Redis

    client = Redis.from_url(url)
    keys = [row_keys(service, [thing]) for thing in things]

    async def ask(thing: int) -> list[Any]:
        return [decode(content) for content in await client.mget(keys[thing])]

    return _of_tasks(ask, lambda rows: values_of(rows)[0], things)


def _of_tasks(
    ask: Callable[[int], Awaitable[Any]], values: Callable[[Any], list[Any]], things: range
) -> tuple[Values, Load]:
    loop = asyncio.new_event_loop()

    async def once(thing: int) -> list[Any]:
        return values(await ask(thing))

    async def one_task(until: float, taken: list[float], first: int) -> None:
        for thing in cycle(things[first:]):
            started = perf_counter()
            if started > until:
                return
            await ask(thing)
            taken.append(perf_counter() - started)

    async def load(seconds: float) -> list[float]:
        taken: list[float] = []
        until = perf_counter() + seconds
        await asyncio.gather(*(one_task(until, taken, first) for first in range(_TASKS)))
        return taken

    return (lambda thing: loop.run_until_complete(once(thing))), (
        lambda seconds: loop.run_until_complete(load(seconds))
    )


def threads(url: str, service: str, things: range) -> tuple[Values, Load]:
    """Let threads share one `FeatureClient`."""
    client = FeatureClient(url, service, prefix=PREFIX, timeout=TIMEOUT)
    pool = ThreadPoolExecutor(_TASKS)

    def load(seconds: float) -> list[float]:
        until = perf_counter() + seconds
        lists = pool.map(lambda at: _asked(lambda thing: client.get(thing_id=thing), things[at:], until), range(_TASKS))
        return [each for taken in lists for each in taken]

    return (lambda thing: [*client.get(thing_id=thing).values()]), load


def one_by_one(url: str, service: str, things: range) -> tuple[Values, Load]:
    """Ask with `FeatureClient`, one request after the other."""
    client = FeatureClient(url, service, prefix=PREFIX, timeout=TIMEOUT)
    return (
        lambda thing: [*client.get(thing_id=thing).values()],
        lambda seconds: _asked(lambda thing: client.get(thing_id=thing), things, perf_counter() + seconds),
    )


def redis_py(url: str, service: str, things: range) -> tuple[Values, Load]:
    """Ask with redis-py, one request after the other, and decode."""
    import redis

    client = redis.Redis.from_url(url)
    reads = [by_redis_py(client, row_keys(service, [thing])) for thing in things]
    return (
        lambda thing: values_of(reads[thing]())[0],
        lambda seconds: _asked(lambda thing: reads[thing](), things, perf_counter() + seconds),
    )


def pipelined(url: str, service: str, things: range) -> tuple[Values, Load]:
    """Send as many requests as there are tasks elsewhere at once through a bare socket, and decode."""
    bare = BareSocket(url)
    packed = [hiredis.pack_command(("MGET", *row_keys(service, [thing]))) for thing in things]

    def load(seconds: float) -> list[float]:
        taken: list[float] = []
        until = perf_counter() + seconds
        for at in cycle(range(0, len(packed) - _TASKS, _TASKS)):
            started = perf_counter()
            if started > until:
                break
            for reply in bare.ask(b"".join(packed[at : at + _TASKS]), _TASKS):
                for content in reply:
                    decode(content)
            taken += [perf_counter() - started] * _TASKS
        return taken

    return (lambda thing: values_of([decode(each) for each in bare.ask(packed[thing], 1)[0]])[0]), load


def _asked(ask: Callable[[int], object], things: range, until: float) -> list[float]:
    taken: list[float] = []
    for thing in cycle(things):
        started = perf_counter()
        if started > until:
            break
        ask(thing)
        taken.append(perf_counter() - started)
    return taken


def main(task: dict[str, Any]) -> None:
    """Answer some entities, and then ask as long as told."""
    kinds = {each.__name__: each for each in (tasks, redis_tasks, threads, one_by_one, redis_py, pipelined)}
    values, load = kinds[task["kind"]](task["url"], task["service"], range(task["entities"]))
    _say([values(thing) for thing in task["things"]])
    for line in sys.stdin:
        worked, started = process_time(), perf_counter()
        taken = load(float(line))
        seconds, worked, spread = perf_counter() - started, process_time() - worked, Spread.of(taken)
        _say({"rate": len(taken) / seconds, "p50": spread.p50, "p99": spread.p99, "work": worked / len(taken)})


def _say(what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(given_task())
