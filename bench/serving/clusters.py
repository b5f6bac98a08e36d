"""The latency of requests to a Redis Cluster of three nodes, beside those to one Redis with the same keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing

import redis

from bench.cluster import copy_keys, empty_cluster
from bench.report import Table, Target
from bench.serving.clock import Spread, race, repeated, spreads
from bench.serving.data import Served
from bench.serving.latency import asker, heads
from bench.serving.names import PREFIX, TIMEOUT, TITLES
from feature_sync import FeatureClient

_COUNTS = {1: 2_000, 100: 300}
"""How many entities are asked for, and how many times."""
_ONE, _CLUSTER = "feature-sync, one Redis", "feature-sync, a cluster of three nodes"
_HIGHEST = 1.3


def tables(served: Served, scale: float) -> Iterator[Table]:
    """Copy the keys to a cluster, and time every service."""
    with empty_cluster() as url:
        with closing(redis.Redis.from_url(served.unix)) as source:
            copy_keys(source, url)
        for service in TITLES:
            yield _table(served, service, url, scale)


def _table(served: Served, service: str, url: str, scale: float) -> Table:
    took: dict[int, dict[str, Spread]] = {}
    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(FeatureClient(each, service, prefix=PREFIX, timeout=TIMEOUT))
            for name, each in {_ONE: served.tcp, _CLUSTER: url}.items()
        }
        for count, times in _COUNTS.items():
            things = [*range(count)]
            asks = {name: asker(client, things) for name, client in clients.items()}
            for name, ask in asks.items():
                found = [ask()] if count == 1 else ask()
                served.check(name, service, things, [[*each.values()] for each in found])
            took[count] = race({name: repeated(ask) for name, ask in asks.items()}, times=round(times * scale))
    table = Table(f"Requests for {TITLES[service]}, to one Redis and to a cluster, over TCP", ("", *heads([*took])))
    for name in clients:
        table.add(name, *spreads(each[name] for each in took.values()))
    for count, taken in took.items():
        entities = "one entity" if count == 1 else f"{count} entities"
        ratio = taken[_CLUSTER].p50 / taken[_ONE].p50
        table.targets.append(Target(f"Vectors of {entities} from a cluster, p50, times one Redis's", ratio, _HIGHEST))
    return table
