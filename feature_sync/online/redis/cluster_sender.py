"""Sends calls to the nodes of a cluster, all nodes at once, and follows slots that move; gives up after some tries."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import redis
from redis.exceptions import AskError, ClusterDownError, MovedError, NoScriptError, TryAgainError

from feature_sync.errors import LeaseLost, OnlineStoreError
from feature_sync.online.redis.cluster_nodes import ClusterNodes, unserved
from feature_sync.online.redis.cluster_scripts import FENCED, Call
from feature_sync.online.redis.connections import ByteConnection, close_connection, take_connection
from feature_sync.online.redis.fenced import TAKEN_OVER
from feature_sync.online.redis.retries import LOST
from feature_sync.online.topology import Node, Redirection

PAUSES_ASKING = (0.05, 0.1, 0.2, 0.4, 0.8)
PAUSES_PUSHING = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 4.0)
"""Seconds before another try, from the first that brings no answer at all: over 10 in a push, which can lose more."""
CALLS_AT_ONCE = 20_000
_ROUNDS_WITHOUT_PAUSE = 6
_DISAGREE = "the nodes of the Redis Cluster disagree about who serves a slot; see CLUSTER NODES, and try again"
UNCOMMITTED = "nothing of this push is committed, push again"
CHANGED = "the nodes of the Redis Cluster have changed meanwhile (a failover, or a new node)"
_FAILED_OVER = f"Redis has lost this push's fence (a failover, or it was emptied); {UNCOMMITTED}"


@dataclass(frozen=True, slots=True)
class _Pending:
    """A call without an answer: which it is, whom to ask but the owner of its slot, and how."""

    at: int
    call: Call
    asked: Node | None = None
    is_whole: bool = False


class ClusterSender:
    """Sends for one thread. Calls may run twice if a reply was lost: they must be idempotent.

    Raises:
        LeaseLost: From every method: another push has taken over.
        OnlineStoreError: From every method: a node failed, or is not as it was when the lease was taken.
    """

    def __init__(
        self,
        nodes: ClusterNodes,
        *,
        runs: Mapping[Node, str] | None = None,
        pauses: Sequence[float] = PAUSES_ASKING,
        advice: str = UNCOMMITTED,
    ) -> None:
        """Prepare to send; connects with the first call.

        Args:
            nodes: The nodes of the cluster.
            runs: The only nodes that may be asked, and their runs when the lease was taken; None for any node.
            pauses: How many seconds to wait before each further try.
            advice: What it means that a node is no longer what it was, for the error.
        """
        self._advice = advice
        self._nodes = nodes
        self._runs = runs
        self._pauses = pauses
        self._connections: dict[Node, ByteConnection] = {}

    def run(self, calls: Sequence[Call]) -> list[Any]:
        """Run calls, and return their replies; errors are raised."""
        try:
            parts = (calls[at : at + CALLS_AT_ONCE] for at in range(0, len(calls), CALLS_AT_ONCE))
            return [reply for part in parts for reply in self._run(part)]
        except BaseException:  # also an interrupt: unread replies would answer the next command
            for node in [*self._connections]:
                self.disconnect(node)
            raise

    def at(self, node: Node, *words: bytes | str) -> Any:
        """Run one command at a node, whatever slots it serves; again after a lost connection."""
        for pause in (*self._pauses, None):
            try:
                with self._nodes.translating(node):
                    connection = self.connection(node)
                    connection.send(*connection.pack([words]))
                    return connection.read_response()
            except BaseException as failed:
                self.disconnect(node)
                if pause is None or not (isinstance(failed, OnlineStoreError) and is_lost(failed)):
                    raise
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def owner(self, slot: int) -> Node | None:
        """Return the node that serves a slot, as far as is known; None if nobody does."""
        return self._nodes.topology.owners[slot]

    def connection(self, node: Node) -> ByteConnection:
        """Return the connection to a node; a new one finds out whether it is the run that it was.

        Raises:
            OnlineStoreError: It is another, which may have lost what it confirmed.
            redis.RedisError: The node failed.
        """
        if node not in self._connections:
            if self._runs is not None and node not in self._runs:
                raise OnlineStoreError(f"{CHANGED}; {self._advice}")
            connection = take_connection(self._nodes.client(node))
            self._connections[node] = connection
            if self._runs is not None:
                self.check(node)
        return self._connections[node]

    def send(self, node: Node, content: bytes) -> None:
        """Send packed commands; `expect` tells whether they arrived."""
        try:
            with self._nodes.translating(node):
                self.connection(node).send(content)
        except OnlineStoreError as failed:
            self.disconnect(node)
            if not is_lost(failed):
                raise

    def expect(self, node: Node, replies: bytes) -> bool:
        """Read exactly these replies; false if others came or none, and the connection is closed."""
        if node not in self._connections:
            return False
        try:
            with self._nodes.translating(node):
                self._connections[node].expect(replies)
        except OnlineStoreError as failed:
            self.disconnect(node)
            if isinstance(failed.__cause__, redis.TimeoutError):
                raise
            return False
        return True

    def check(self, node: Node) -> None:
        """Raise unless a node is the primary, and the run, that it was when the lease was taken."""
        if self._runs is not None and run_of(self._info(node)) != self._runs[node]:
            self.disconnect(node)
            raise OnlineStoreError(
                f"Redis at {self._nodes.address.at(node).where} was restarted, or has failed over, meanwhile; "
                f"{self._advice}"
            )

    def _info(self, node: Node) -> dict[str, str]:
        connection = self._connections[node]
        try:
            connection.send(*connection.pack([("INFO", "server"), ("INFO", "replication")]))
            return read_info(connection.read_response()) | read_info(connection.read_response())
        except BaseException:
            self.disconnect(node)
            raise

    def disconnect(self, node: Node) -> None:
        """Close the connection to a node: replies may be unread."""
        close_connection(self._nodes.client(node), self._connections.pop(node, None))

    def close(self) -> None:
        """Give the connections back, of which no reply is unread; those of a push are closed."""
        for node, connection in [*self._connections.items()]:
            if self._runs is None:
                self._nodes.client(node).connection_pool.release(connection)  # type: ignore[arg-type]
                del self._connections[node]
            else:
                self.disconnect(node)

    def _run(self, calls: Sequence[Call]) -> list[Any]:
        replies: list[Any] = [None] * len(calls)
        pending, tries, rounds = [_Pending(at, call) for at, call in enumerate(calls)], 0, 0
        while pending:
            before, rounds = len(pending), rounds + 1
            pending, trouble = self._round(pending, replies)
            if trouble is None and rounds % _ROUNDS_WITHOUT_PAUSE:
                continue  # only redirections, and scripts that a node did not know
            trouble = trouble or OnlineStoreError(_DISAGREE)
            tries = 0 if len(pending) < before else tries + 1
            if tries > len(self._pauses):
                raise trouble
            time.sleep(self._pauses[max(tries - 1, 0)])
            self._nodes.refresh()
        return replies

    def _round(self, pending: Sequence[_Pending], replies: list[Any]) -> tuple[list[_Pending], OnlineStoreError | None]:
        """Ask each node once; returns what is still without an answer, and why that calls for a pause."""
        groups: dict[Node, list[_Pending]] = {}
        left: list[_Pending] = []
        trouble: OnlineStoreError | None = None
        for each in pending:
            node = each.asked or self.owner(each.call.slot)
            if node is None:
                left.append(each)
                trouble = OnlineStoreError(unserved(self._nodes.topology.unserved))
            else:
                groups.setdefault(node, []).append(each)
        sent = {node: self._send(node, group) for node, group in groups.items()}
        moved: list[Redirection] = []
        for node, group in groups.items():
            failure = sent[node] or self._take(node, group, replies, left, moved)
            if sent[node] is not None:
                left += [replace(each, asked=None) for each in group]
            trouble = failure or trouble
        self._nodes.move(moved)
        return left, trouble

    def _send(self, node: Node, group: Sequence[_Pending]) -> OnlineStoreError | None:
        """Send to a node; returns why its connection was lost."""
        commands: list[Any] = []
        for each in group:
            commands += [("ASKING",)] if each.asked is not None else []
            commands.append(each.call.command(whole=each.is_whole))
        try:
            with self._nodes.translating(node):
                connection = self.connection(node)
                connection.send(*connection.pack(commands))
        except OnlineStoreError as failed:
            self.disconnect(node)
            if not is_lost(failed):
                raise
            return failed
        return None

    def _take(
        self,
        node: Node,
        group: Sequence[_Pending],
        replies: list[Any],
        left: list[_Pending],
        moved: list[Redirection],
    ) -> OnlineStoreError | None:
        """Take the replies of a node; returns why some call for a pause."""
        trouble: OnlineStoreError | None = None
        wrong: OnlineStoreError | None = None
        for number, each in enumerate(group):
            try:
                with self._nodes.translating(node):
                    reply = self._reply(node, is_asking=each.asked is not None)
            except OnlineStoreError as failed:
                self.disconnect(node)
                if not is_lost(failed):
                    raise
                left += [replace(one, asked=None) for one in group[number:]]
                return failed
            if isinstance(reply, MovedError):
                left.append(replace(each, asked=None))
                moved.append(Redirection(True, each.call.slot, _place(reply, node)))
            elif isinstance(reply, AskError):
                left.append(replace(each, asked=_place(reply, node)))
            elif isinstance(reply, NoScriptError):
                left.append(replace(each, is_whole=True))
            elif isinstance(reply, TryAgainError | ClusterDownError):
                left.append(replace(each, asked=None))
                trouble = OnlineStoreError(_why(reply, each.call.slot))
            elif isinstance(reply, redis.ResponseError):
                wrong = wrong or self._refused(node, reply)
            else:
                replies[each.at] = reply
        if wrong is not None:  # after all replies are read
            raise wrong
        return trouble

    def _reply(self, node: Node, *, is_asking: bool) -> Any:
        """Read one reply; error replies are returned."""
        connection = self._connections[node]
        try:
            if is_asking:
                connection.read_response()
            return connection.read_response()
        except redis.ResponseError as refused:
            return refused

    def _refused(self, node: Node, reply: redis.ResponseError) -> OnlineStoreError:
        text = str(reply)
        if text.startswith(FENCED):
            held = int(text.removeprefix(FENCED).split()[0])
            return LeaseLost(TAKEN_OVER) if held else OnlineStoreError(_FAILED_OVER)
        try:
            with self._nodes.translating(node):
                raise reply
        except OnlineStoreError as refused:
            return refused


def is_lost(failed: OnlineStoreError) -> bool:
    """True if an error is that of a lost connection, and not of a refused login."""
    cause = failed.__cause__
    return isinstance(cause, LOST) and not isinstance(cause, redis.AuthenticationError)


def _why(reply: redis.ResponseError, slot: int) -> str:
    if isinstance(reply, TryAgainError):
        return f"slot {slot} of the Redis Cluster is being moved to another node; try again when that has ended"
    return f"the Redis Cluster does not serve slot {slot} ({reply}): see CLUSTER INFO on a node; is a primary down?"


def _place(reply: AskError | MovedError, asked: Node) -> Node:
    return Node(reply.host or asked.host, int(reply.port))


def read_info(content: Any) -> dict[str, str]:
    """Read the fields that INFO reports."""
    lines = bytes(content).decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def run_of(info: Mapping[str, str]) -> str:
    """Return what identifies a run of a node as a primary: it changes with a restart, and with each failover."""
    return " ".join((info.get("role", ""), info.get("run_id", ""), info.get("master_replid", "")))
