"""The route to the primary behind Sentinels: they are asked for it, and again after a lost connection.

A Sentinel may not know of a failover yet. So the login of a connection asks the server whether it is a primary, and
another Sentinel is asked if it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hiredis import ReplyError

from feature_sync.errors import OnlineStoreError, did_you_mean
from feature_sync.online.topology import Node
from feature_sync.serving.endpoint import Command, Endpoint
from feature_sync.serving.routes import Round, Route, Steps, is_lost, pause_after

_SHARE_OF_SENTINEL = 0.4
_NOT_PRIMARY = ("READONLY", "MASTERDOWN", "LOADING")


class SentinelRoute(Route):
    """Which server is the primary, as Sentinels say."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Take the Sentinels and the service that the URL names."""
        super().__init__(endpoint)
        self._sentinels = endpoint.address.nodes
        self._service = endpoint.address.service
        self._primary: Node | None = None

    def direct(self, commands: Sequence[Command]) -> Node | None:
        """See `Route`."""
        del commands  # one server answers all
        return self._primary

    def is_answer(self, reply: Any) -> bool:
        """See `Route`."""
        return not isinstance(reply, ReplyError)

    def doubt(self, node: Node) -> None:
        """See `Route`."""
        if self._primary == node:
            self._primary = None

    def forget(self) -> None:
        """See `Route`."""
        self._primary = None

    def endpoint(self, node: Node) -> Endpoint:
        """See `Route`."""
        return self.base.sentinel(node) if node in self._sentinels else self.base.at(node)

    def steps(self, commands: Sequence[Command], deadline: float, clock: Callable[[], float]) -> Steps:
        """See `Route`."""
        tries, trouble = 0, None
        while True:
            pause = pause_after(tries)
            if trouble is not None and clock() + pause >= deadline:
                raise trouble
            primary = self._primary
            if primary is None:
                yield Round({}, pause)
                primary = yield from self._find(tries)
            outcome = (yield Round({primary: commands}))[primary]
            if isinstance(outcome, OnlineStoreError):
                trouble = outcome
                if not is_lost(outcome):
                    raise outcome
            else:
                trouble = self._first_refusal(primary, commands, outcome)
                if trouble is None:
                    self._primary = primary
                    return outcome
            self.doubt(primary)
            tries += 1

    def _first_refusal(
        self, primary: Node, commands: Sequence[Command], replies: Sequence[Any]
    ) -> OnlineStoreError | None:
        """Return why the server is not the primary any more; None if all is answered.

        Raises:
            OnlineStoreError: It refuses a command.
        """
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, ReplyError):
                refused = self.endpoint(primary).refused(reply, command)
                if not str(reply).startswith(_NOT_PRIMARY):
                    raise refused
                return refused
        return None

    def _find(self, tries: int) -> Steps:
        """Ask one Sentinel after another for the primary, after each try in vain another first; returns it.

        Raises:
            OnlineStoreError: None answers, or none knows the service.
        """
        question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
        failure: OnlineStoreError | None = None
        start = tries % len(self._sentinels)
        for sentinel in (*self._sentinels[start:], *self._sentinels[:start]):
            outcome = (yield Round({sentinel: [question]}, share=_SHARE_OF_SENTINEL))[sentinel]
            if isinstance(outcome, OnlineStoreError):
                failure = failure or outcome
                if not is_lost(outcome):
                    raise outcome
            elif isinstance(outcome[0], ReplyError):
                raise self._refused(sentinel, outcome[0])
            elif outcome[0] is None:
                failure = yield from self._unknown(sentinel)
            else:
                host, port = outcome[0]
                return Node(host.decode(), int(port))
        raise failure or OnlineStoreError(f"the Redis URL {self.base} names no Sentinel")

    def _unknown(self, sentinel: Node) -> Steps:
        """Return the error that says which services a Sentinel watches."""
        outcome = (yield Round({sentinel: [("SENTINEL", "MASTERS")]}, share=_SHARE_OF_SENTINEL))[sentinel]
        names: list[str] = []
        if not isinstance(outcome, OnlineStoreError) and isinstance(outcome[0], list):
            names = [fields[fields.index(b"name") + 1].decode() for fields in outcome[0] if b"name" in fields]
        known = did_you_mean(self._service, names) if names else "; it watches none"
        return OnlineStoreError(f"the Sentinel at {self.endpoint(sentinel)} knows no service {self._service!r}{known}")

    def _refused(self, sentinel: Node, reply: ReplyError) -> OnlineStoreError:
        where = self.endpoint(sentinel)
        failure = where.refused(reply)
        if "unknown command" in str(reply).lower():
            failure = OnlineStoreError(
                f"Redis at {where} is not a Sentinel: name the Sentinels, whose port is usually 26379, or begin the "
                "URL with redis:// (rediss:// for TLS)"
            )
            failure.__cause__ = reply
        return failure
