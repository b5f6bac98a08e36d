"""What the primaries of a cluster report of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

from feature_sync.online.base import NodeState, ServerState
from feature_sync.online.redis.cluster_nodes import ClusterNodes
from feature_sync.online.redis.cluster_reader import ClusterReader
from feature_sync.online.redis.cluster_sender import read_info, run_of
from feature_sync.online.topology import Node


class PrimaryState(NamedTuple):
    """A primary: what identifies its run, what it reports, and the fields from which that is read."""

    run: str
    state: NodeState
    info: Mapping[str, str]


def read_states(reader: ClusterReader, nodes: ClusterNodes) -> dict[Node, PrimaryState]:
    """Read the state of each primary.

    Raises:
        OnlineStoreError: A node failed, or slots have no node.
    """
    topology = nodes.whole()
    return {node: _read(reader, node, len(topology.slots_of(node))) for node in topology.primaries}


def read_runs(reader: ClusterReader, nodes: ClusterNodes) -> dict[Node, str]:
    """Read what identifies the run of each primary.

    Raises:
        OnlineStoreError: A node failed, or slots have no node.
    """
    return {node: run_of(_info(reader, node, "server", "replication")) for node in nodes.whole().primaries}


def _info(reader: ClusterReader, node: Node, *sections: str) -> dict[str, str]:
    found = [read_info(reader.at(node, "INFO", section)) for section in sections]
    return {name: value for section in found for name, value in section.items()}


def _read(reader: ClusterReader, node: Node, slots: int) -> PrimaryState:
    info = _info(reader, node, "server", "replication", "memory", "stats")
    keys = int(reader.at(node, "DBSIZE"))
    state = NodeState(
        address=str(node),
        slots=slots,
        keys=keys,
        memory_bytes=int(info.get("used_memory", 0)),
        replicas=int(info.get("connected_slaves", 0)),
    )
    return PrimaryState(run_of(info), state, info)


def server_state_of(states: Mapping[Node, PrimaryState]) -> ServerState:
    """Return what the primaries report as that of one server."""
    runs = " ".join(sorted(each.run for each in states.values()))
    policies = {each.info.get("maxmemory_policy", "noeviction") for each in states.values()}
    return ServerState(
        run_id=sha256(runs.encode()).hexdigest()[:40],
        evicted_keys=sum(int(each.info.get("evicted_keys", 0)) for each in states.values()),
        may_evict=any(
            each.info.get("maxmemory", "0") != "0" and each.info.get("maxmemory_policy", "noeviction") != "noeviction"
            for each in states.values()
        ),
        eviction_policy=f"maxmemory-policy {', '.join(sorted(policies))}",
    )
