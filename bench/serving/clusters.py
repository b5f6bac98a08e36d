"""The latency of requests to a Redis Cluster of three nodes, beside those to one Redis with the same keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import hiredis
import redis

from bench.cluster import copy_keys, empty_cluster
from bench.report import Table, Target
from bench.serving.bare import BareNodes, BareSocket, decode, values_of
from bench.serving.clock import Spread, race, repeated, spreads
from bench.serving.cores import apart
from bench.serving.data import Served
from bench.serving.latency import asker, heads
from bench.serving.names import PREFIX, TIMEOUT, TITLES, row_keys
from feature_sync import FeatureClient

_COUNTS = {1: 2_000, 100: 300}
"""How many entities are asked for, and how many times."""
_ONE, _CLUSTER = "feature-sync, one Redis", "feature-sync, a cluster of three nodes"
_BARE_ONE, _BARE_CLUSTER = "bare sockets, one Redis", "bare sockets, the cluster"
_REDIS_PY_ONE, _REDIS_PY_CLUSTER = "redis-py, one Redis", "redis-py, the cluster"
_HIGHEST = 1.3
_WHY_MANY = (
    "Entities have slots of their own, and a command takes keys of one slot: a cluster is sent a GET for each entity, "
    "an MGET if there are several views, and three requests, where one Redis is sent one MGET."
)
_WHERE = (
    "The client has a core of its own; the Redis servers share the other one: three nodes answer one after the other, "
    "where three machines answer at once."
)
_BARE = (
    "Bare sockets send commands that are encoded and grouped by node beforehand, and parse the replies; redis-py sends "
    "MGET, to the cluster `mget_nonatomic`. Neither decodes a value: they are what the network and the servers take."
)


def tables(served: Served, scale: float) -> Iterator[Table]:
    """Copy the keys to a cluster, and time every service."""
    with empty_cluster() as url, closing(redis.Redis.from_url(served.unix)) as source:
        copy_keys(source, url)
        with apart([source, *(redis.Redis(port=port) for port in _ports(url))]):
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
            bare = _bare(stack, served.tcp, url, service, things)
            for name, read in bare.items():
                served.check(name, service, things, values_of([*map(decode, read())], count))
            took[count] = race(
                {name: repeated(work) for name, work in {**asks, **bare}.items()}, times=round(times * scale)
            )
    return _shown(service, took)


def _bare(
    stack: ExitStack, one: str, cluster: str, service: str, things: list[int]
) -> dict[str, Callable[[], list[Any]]]:
    """Return readers of the same rows that decode nothing."""
    keys = row_keys(service, things)
    single = stack.enter_context(closing(BareSocket(one)))
    packed = hiredis.pack_command(("MGET", *keys))
    plain = stack.enter_context(closing(redis.Redis.from_url(one)))
    host, port = "127.0.0.1", _ports(cluster)[0]
    many = stack.enter_context(closing(redis.RedisCluster(host=host, port=port)))
    nodes = BareNodes(stack, _ports(cluster), [keys[at :: len(things)] for at in range(len(things))])
    return {
        _REDIS_PY_ONE: lambda: plain.mget(keys),
        _REDIS_PY_CLUSTER: lambda: many.mget_nonatomic(keys),
        _BARE_ONE: lambda: single.ask(packed, 1)[0],
        _BARE_CLUSTER: lambda: nodes.ask(keys),
    }


def _ports(url: str) -> list[int]:
    return [int(each.rpartition(":")[2]) for each in url.split(",")]


def _shown(service: str, took: dict[int, dict[str, Spread]]) -> Table:
    table = Table(f"Requests for {TITLES[service]}, to one Redis and to a cluster, over TCP", ("", *heads([*took])))
    for name in took[1]:
        table.add(name, *spreads(each[name] for each in took.values()))
    for count, taken in took.items():
        entities = "one entity" if count == 1 else f"{count} entities"
        ratio = taken[_CLUSTER].p50 / taken[_ONE].p50
        table.targets.append(Target(f"Vectors of {entities} from a cluster, p50, times one Redis's", ratio, _HIGHEST))
    table.notes += [_WHY_MANY, _BARE, _WHERE]
    return table
