"""How a request finds its servers, without input or output: rounds of commands by node, each answered before the next.

The promise that routes of clusters and of Sentinels keep, and what they share.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from hiredis import ReplyError

from feature_sync.errors import OnlineStoreError
from feature_sync.online.topology import Node
from feature_sync.serving.endpoint import Command, Endpoint, NotPrimary, Packed

_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.1
_NOT_YET = ("LOADING", "MASTERDOWN", "CLUSTERDOWN")
"""Begin the refusals of servers that will answer soon, or whose place another will take."""


class Round(NamedTuple):
    """What is asked at once.

    Args:
        asked: The commands for each node; those for a connection that is lost are asked for once more.
        pause: How many seconds to wait before.
        share: Which share of the time that is left it may take.
        keep: Called with the replies of a node as soon as they are there, while others are awaited.
    """

    asked: Mapping[Node, Iterable[Command | Packed]]
    pause: float = 0.0
    share: float = 1.0
    keep: Callable[[Node, Sequence[Any]], None] | None = None


Outcome = list[Any] | OnlineStoreError
"""The replies of a node, errors among them; or why there are none."""
Steps = Generator[Round, Mapping[Node, Outcome], Any]


class Route(ABC):
    """Knows which node to ask; threads and tasks share it. What it has learnt is replaced as a whole."""

    revision_period = 0.0

    def __init__(self, endpoint: Endpoint) -> None:
        """Take what the URL says."""
        self.base = endpoint

    @abstractmethod
    def direct(self, commands: Sequence[Command]) -> Node | None:
        """Return the one node that answers all commands; None if there is more to do."""

    @abstractmethod
    def is_answer(self, reply: Any) -> bool:
        """True unless a reply to a direct request is an error, so that `steps` is to deal with it."""

    @abstractmethod
    def steps(self, commands: Sequence[Command], deadline: float, clock: Callable[[], float]) -> Steps:
        """Ask until all commands are answered; returns their replies.

        Args:
            commands: The words of each.
            deadline: By the clock.
            clock: Returns seconds.

        Raises:
            OnlineStoreError: A command is refused, or there is no time left.
        """

    @abstractmethod
    def doubt(self, node: Node) -> None:
        """Ask others where things are before the next request: this node was silent."""

    def endpoint(self, node: Node) -> Endpoint:
        """Return how a node is reached."""
        return self.base.at(node)

    @abstractmethod
    def forget(self) -> None:
        """Forget what was learnt."""


def pause_after(tries: int) -> float:
    """Return how many seconds to wait after so many tries in vain."""
    return 0.0 if tries < 1 else min(_FIRST_PAUSE * 2 ** min(tries - 1, 10), _LONGEST_PAUSE)


def is_lost(outcome: Outcome) -> bool:
    """True if a server cannot be reached, or cannot answer yet: another try, or another server, may help."""
    if not isinstance(outcome, OnlineStoreError):
        return False
    cause = outcome.__cause__
    if isinstance(cause, ReplyError):
        return str(cause).startswith(_NOT_YET)
    return isinstance(outcome, NotPrimary) or isinstance(cause, OSError)


def route_of(endpoint: Endpoint) -> Route:
    """Return the route that a URL asks for."""
    if endpoint.address.is_cluster:
        from feature_sync.serving.cluster_route import ClusterRoute

        return ClusterRoute(endpoint)
    from feature_sync.serving.sentinel_route import SentinelRoute

    return SentinelRoute(endpoint)
