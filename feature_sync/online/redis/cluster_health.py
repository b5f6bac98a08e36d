"""How the nodes of a cluster are, those that do not answer included: for those who watch it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from feature_sync.errors import OnlineStoreError
from feature_sync.online.base import ClusterHealth, NodeHealth
from feature_sync.online.redis.cluster_nodes import ClusterNodes
from feature_sync.online.redis.cluster_reader import ClusterReader
from feature_sync.online.redis.cluster_sender import read_info
from feature_sync.online.topology import Node

_REPLICA = re.compile(r"slave\d+")


def read_health(reader: ClusterReader, nodes: ClusterNodes) -> ClusterHealth:
    """Ask each node how it is.

    Raises:
        OnlineStoreError: No node tells the topology.
    """
    topology = nodes.refresh()
    primaries = {node: len(topology.slots_of(node)) for node in topology.primaries}
    found = tuple(_read(reader, node, primaries.get(node)) for node in topology.nodes)
    lost = sum(each.slots for each in found if not each.is_up)
    failed = _failed(reader, [node for node, each in zip(topology.nodes, found, strict=True) if each.is_up])
    gone = tuple(each for each in failed if each.address not in {one.address for one in found})
    return ClusterHealth(nodes=found + gone, uncovered_slots=topology.unserved + lost)


def _failed(reader: ClusterReader, nodes: Sequence[Node]) -> Iterator[NodeHealth]:
    """Yield the nodes that the others have given up, which CLUSTER SLOTS leaves out."""
    told = bytes(reader.at(nodes[0], "CLUSTER", "NODES")).decode(errors="replace") if nodes else ""
    for words in map(str.split, told.splitlines()):
        flags = words[2].split(",")
        if "fail" in flags and "noaddr" not in flags:
            address = words[1].partition("@")[0]
            yield NodeHealth(address=address, is_primary="master" in flags, slots=0)


def _read(reader: ClusterReader, node: Node, slots: int | None) -> NodeHealth:
    """Ask one node; `slots` is None for a replica."""
    address, is_primary = str(node), slots is not None
    try:
        memory = read_info(reader.at(node, "INFO", "memory"))
        replication = read_info(reader.at(node, "INFO", "replication"))
        keys = int(reader.at(node, "DBSIZE"))
    except OnlineStoreError:  # it is what is asked for: whether it answers
        return NodeHealth(address=address, is_primary=is_primary, slots=slots or 0)
    return NodeHealth(
        address=address,
        is_primary=is_primary,
        slots=slots or 0,
        is_up=True,
        keys=keys,
        memory_bytes=int(memory.get("used_memory", 0)),
        replicas=int(replication.get("connected_slaves", 0)) if is_primary else None,
        replica_lag_bytes=_lag(replication) if is_primary else None,
    )


def _lag(replication: Mapping[str, str]) -> int | None:
    """Return how many bytes the slowest replica is behind: `slave0:ip=...,state=online,offset=15,lag=1`."""
    followers = [
        dict(part.partition("=")[::2] for part in value.split(","))
        for name, value in replication.items()
        if _REPLICA.fullmatch(name)
    ]
    written = int(replication.get("master_repl_offset", 0))
    return max((max(0, written - int(each.get("offset", 0))) for each in followers), default=None)
