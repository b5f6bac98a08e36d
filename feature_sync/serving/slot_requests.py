"""Commands on their way to the nodes of a Redis Cluster: what is answered, and what is to be asked again elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hiredis import ReplyError

from feature_sync.errors import OnlineStoreError
from feature_sync.online.topology import Node, Redirection, Topology, read_redirection
from feature_sync.serving.endpoint import Command, Endpoint
from feature_sync.serving.routes import Outcome, Round, is_lost
from feature_sync.serving.row_reads import Places, RowReads
from feature_sync.serving.slot_parts import Item, Part, parts_of, rows_of

_NOT_SERVED = ("CLUSTERDOWN", "LOADING", "MASTERDOWN", "MOVED", "ASK")
"""Begin the answers of nodes that do not serve a slot now; a redirection that names no host is one of them."""

Asked = Mapping[Node, Sequence[Item]]


class _Words:
    """The commands of some items, encoded when they are sent: a node works while those for the next are encoded."""

    __slots__ = ("_items",)

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Any]:
        return (words for item in self._items for words in item.words())


class SlotRequests:
    """Commands, cut by slot, and what has become of them."""

    def __init__(self, commands: Sequence[Command], base: Endpoint) -> None:
        """Cut commands.

        Args:
            commands: The words of each.
            base: The cluster.
        """
        self.replies: list[Any] = [_blank(each) for each in commands]
        """The reply to each command; `RowReads` keep theirs themselves."""
        self.rounds = 0
        self.trouble: OnlineStoreError | None = None
        """Why what is left has no answer."""
        self.lost: set[Node] = set()
        self.moved: list[Redirection] = []
        self.unserved: list[Part] = []
        self._whole = [(at, command) for at, command in enumerate(commands) if isinstance(command, RowReads)]
        self._refusal: OnlineStoreError | None = None
        self._left: list[Part] = parts_of(commands)
        self._base = base

    @property
    def is_answered(self) -> bool:
        """True if nothing is left."""
        return not (self._whole or self._left)

    def by_node(self, topology: Topology, places: Callable[[Topology], Places]) -> Asked:
        """Return what to ask each node; what has a slot that nobody serves waits for the next round.

        Args:
            topology: Which node serves which slot.
            places: Returns the same, for the keys of rows.
        """
        asked: dict[Node, list[Item]] = {}
        self.unserved = []
        for at, command in self._whole:
            found, unserved = rows_of(command, at, places(topology))
            self.unserved += unserved
            for node, rows in found.items():
                asked.setdefault(node, []).extend(rows)
        for part in self._left:
            node_or_none = part.owner(topology)
            if node_or_none is None:
                self.unserved.append(part)
            else:
                asked.setdefault(node_or_none, []).append(part)
        self._whole, self._left = [], self.unserved
        if self.unserved:
            self.trouble = self._down(f"no node serves slot {self.unserved[0].slot}")
        return asked

    def round(self, asked: Asked, pause: float) -> Round:
        """Return what to ask at once; the replies of a node are kept as soon as they are there."""
        self.lost, self.moved = set(), []

        def keep(node: Node, replies: Sequence[Any]) -> None:
            begin = 0
            for item in asked[node]:
                end = begin + item.count
                for part, reply in item.keep(replies[begin:end], self.replies):
                    self._redirect(node, part, reply)
                begin = end

        return Round({node: _Words(items) for node, items in asked.items()}, pause, keep=keep)

    def take(self, asked: Asked, outcomes: Mapping[Node, Outcome]) -> None:
        """Keep what is left to be asked.

        Raises:
            OnlineStoreError: A node refuses a login or a command.
        """
        self.rounds += 1
        failures = {node: each for node, each in outcomes.items() if isinstance(each, OnlineStoreError)}
        for node, failure in failures.items():
            if not is_lost(failure):
                raise failure
            if not self.lost:  # those after it may have had no time left to be heard
                self.trouble = failure
            self.lost.add(node)
            self._left += [part for item in asked[node] for part in item.parts()]
        if self._refusal is not None:
            raise self._refusal

    def _redirect(self, node: Node, part: Part, reply: ReplyError) -> None:
        """Have a part that a node has refused asked again, elsewhere; if it refuses the command, `take` raises that."""
        text = str(reply)
        redirection = read_redirection(text, node)
        if redirection is not None:
            self.trouble = self._moving()
            if redirection.is_moved:
                self.moved.append(redirection)
            else:
                part.target = redirection.node
        elif text.startswith("TRYAGAIN"):
            self.trouble = self._moving()
        elif text.startswith(_NOT_SERVED):
            self.lost.add(node)
            self.trouble = self._down(text)
        else:
            self._refusal = self._refusal or self._base.at(node).refused(reply, part.command)
        self._left.append(part)

    def _down(self, reason: str) -> OnlineStoreError:
        return OnlineStoreError(
            f"the Redis Cluster at {self._base} does not serve all slots ({reason}): see CLUSTER INFO and CLUSTER "
            "NODES on its nodes; ask again when a replica has taken the place of a lost node"
        )

    def _moving(self) -> OnlineStoreError:
        return OnlineStoreError(
            f"the Redis Cluster at {self._base} moves slots faster than they can be read, or its nodes do not agree "
            "where they are; ask again"
        )


def _blank(command: Command) -> Any:
    """Return where the reply to a command is put together."""
    if isinstance(command, RowReads):
        return command.found
    return [None] * (len(command) - 1) if command[0] == "MGET" else None
