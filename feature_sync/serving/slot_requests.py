"""Commands on their way to the nodes of a Redis Cluster: what is answered, and what is to be asked again elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hiredis import ReplyError

from feature_sync.errors import OnlineStoreError
from feature_sync.online.topology import Node, Redirection, Topology, read_redirection
from feature_sync.serving.endpoint import Command, Endpoint
from feature_sync.serving.routes import Outcome, is_lost
from feature_sync.serving.slot_parts import Part, parts_of

_ASKING = ("ASKING",)
_NOT_SERVED = ("CLUSTERDOWN", "LOADING", "MASTERDOWN", "MOVED", "ASK")
"""Begin the answers of nodes that do not serve a slot now; a redirection that names no host is one of them."""


class SlotRequests:
    """Commands, cut by slot, and what has become of them."""

    def __init__(self, commands: Sequence[Command], base: Endpoint) -> None:
        """Cut commands.

        Args:
            commands: The words of each.
            base: The cluster.
        """
        self.parts, self.replies = parts_of(commands)
        self.rounds = 0
        self.trouble: OnlineStoreError | None = None
        """Why the parts that are left have no answer."""
        self.lost: set[Node] = set()
        self.moved: list[Redirection] = []
        self.has_unserved = False
        self._base = base

    def by_node(self, topology: Topology) -> dict[Node, list[Part]]:
        """Return what to ask each node; a part whose slot nobody serves is left out."""
        asked: dict[Node, list[Part]] = {}
        self.has_unserved = False
        for part in self.parts:
            node = part.target or part.owner(topology)
            if node is None:
                self.has_unserved = True
                self.trouble = self._down(f"no node serves slot {part.slot}")
            elif node in asked:
                asked[node].append(part)
            else:
                asked[node] = [part]
        return asked

    @staticmethod
    def words(parts: Sequence[Part]) -> list[Command]:
        """Return the commands for a node."""
        if all(part.target is None for part in parts):
            return [part.command for part in parts]
        return [
            words for part in parts for words in ((part.command,) if part.target is None else (_ASKING, part.command))
        ]

    def take(self, asked: Mapping[Node, Sequence[Part]], outcomes: Mapping[Node, Outcome]) -> None:
        """Keep replies, and what is left to be asked.

        Raises:
            OnlineStoreError: A node refuses a login or a command.
        """
        self.rounds += 1
        self.lost, self.moved = set(), []
        there = {id(part) for parts in asked.values() for part in parts} if self.has_unserved else set()
        left = [part for part in self.parts if id(part) not in there] if self.has_unserved else []
        for node, parts in asked.items():
            outcome = outcomes[node]
            if isinstance(outcome, OnlineStoreError):
                if not is_lost(outcome):
                    raise outcome
                self.lost.add(node)
                self.trouble = outcome
                left += parts
                for part in parts:
                    part.target = None
            else:
                left += self._left(node, parts, outcome)
        self.parts = left

    def _left(self, node: Node, parts: Sequence[Part], replies: Sequence[Any]) -> list[Part]:
        """Keep the replies of a node; returns the parts that it has not answered."""
        left: list[Part] = []
        incoming = iter(replies)
        for part in parts:
            reply = next(incoming)
            if part.target is not None:  # that was the reply to ASKING
                part.target, reply = None, next(incoming)
            if isinstance(reply, ReplyError):
                left += self._redirected(node, part, reply)
            else:
                part.keep(reply, self.replies)
        return left

    def _redirected(self, node: Node, part: Part, reply: ReplyError) -> list[Part]:
        """Return what to ask instead of a part that a node has refused.

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
            return [part]
        if text.startswith("TRYAGAIN"):
            self.trouble = self._moving()
            return part.split()
        if text.startswith(_NOT_SERVED):
            self.lost.add(node)
            self.trouble = self._down(text)
            return [part]
        raise self._base.at(node).refused(reply, part.command)

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
