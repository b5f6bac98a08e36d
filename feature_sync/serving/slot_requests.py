"""Commands on their way to the nodes of a Redis Cluster: what is answered, and what is to be asked again elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hiredis import ReplyError

from feature_sync.errors import OnlineStoreError
from feature_sync.online.topology import Node, Redirection, Topology, read_redirection
from feature_sync.serving.endpoint import Command, Endpoint, Packed
from feature_sync.serving.routes import Outcome, is_lost
from feature_sync.serving.slot_parts import Item, Part, keys_of, parts_of

_NOT_SERVED = ("CLUSTERDOWN", "LOADING", "MASTERDOWN", "MOVED", "ASK")
"""Begin the answers of nodes that do not serve a slot now; a redirection that names no host is one of them."""

Asked = Mapping[Node, Sequence[Item]]


class SlotRequests:
    """Commands, cut by slot, and what has become of them."""

    def __init__(self, commands: Sequence[Command], base: Endpoint) -> None:
        """Cut commands.

        Args:
            commands: The words of each.
            base: The cluster.
        """
        self.replies: list[Any] = [[None] * (len(each) - 1) if each[0] == "MGET" else None for each in commands]
        self.rounds = 0
        self.trouble: OnlineStoreError | None = None
        """Why what is left has no answer."""
        self.lost: set[Node] = set()
        self.moved: list[Redirection] = []
        self.unserved: list[Part] = []
        self._whole = [(at, command) for at, command in enumerate(commands) if command[0] == "MGET"]
        self._left: list[Part] = parts_of(commands)
        self._base = base

    @property
    def is_answered(self) -> bool:
        """True if nothing is left."""
        return not (self._whole or self._left)

    def by_node(self, topology: Topology) -> Asked:
        """Return what to ask each node; what has a slot that nobody serves waits for the next round."""
        asked: dict[Node, list[Item]] = {}
        self.unserved = []
        for at, command in self._whole:
            found, unserved = keys_of(command, at, topology)
            self.unserved += unserved
            for node, keys in found.items():
                asked.setdefault(node, []).append(keys)
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

    @staticmethod
    def words(asked: Asked) -> dict[Node, list[Command | Packed]]:
        """Return the commands for each node."""
        return {node: [words for item in items for words in item.words()] for node, items in asked.items()}

    def take(self, asked: Asked, outcomes: Mapping[Node, Outcome]) -> None:
        """Keep replies, and what is left to be asked.

        Raises:
            OnlineStoreError: A node refuses a login or a command.
        """
        self.rounds += 1
        self.lost, self.moved = set(), []
        for node, items in asked.items():
            outcome = outcomes[node]
            if not isinstance(outcome, OnlineStoreError):
                self._keep(node, items, outcome)
            elif is_lost(outcome):
                if not self.lost:  # those after it may have had no time left to be heard
                    self.trouble = outcome
                self.lost.add(node)
                self._left += [part for item in items for part in item.parts()]
            else:
                raise outcome

    def _keep(self, node: Node, items: Sequence[Item], replies: Sequence[Any]) -> None:
        begin = 0
        for item in items:
            end = begin + item.count
            for part, reply in item.keep(replies[begin:end], self.replies):
                self._redirect(node, part, reply)
            begin = end

    def _redirect(self, node: Node, part: Part, reply: ReplyError) -> None:
        """Have a part that a node has refused asked again, elsewhere.

        Raises:
            OnlineStoreError: It refuses the command itself.
        """
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
            raise self._base.at(node).refused(reply, part.command)
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
