"""Clients of a service, both called in the same way, and readers that ask all the time in threads of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from feature_sync import AsyncFeatureClient, FeatureClient
from feature_sync.errors import OnlineStoreError
from tests.support.baskets import BASKETS, PREFIX, RIGHT, SERVICE

KINDS = ("threads", "asyncio")


class Reader:
    """A client for threads, or one for asyncio with an event loop of its own."""

    def __init__(
        self, kind: str, url: str, *, service: str = SERVICE, prefix: str = PREFIX, timeout: float = 20.0
    ) -> None:
        self._loop = asyncio.new_event_loop() if kind == "asyncio" else None
        make = FeatureClient if self._loop is None else AsyncFeatureClient
        self.client = make(url, service, prefix=prefix, timeout=timeout)

    def _done(self, answer: Any) -> Any:
        return answer if self._loop is None else self._loop.run_until_complete(answer)

    def warm_up(self):
        return self._done(self.client.warm_up())

    def get(self, **keys):
        return dict(self._done(self.client.get(**keys)))

    def get_many(self, rows=BASKETS):
        return [dict(each) for each in self._done(self.client.get_many(rows))]

    def statuses(self, rows=BASKETS):
        """The vectors with their statuses, and null for what cannot be read."""
        found = self._done(self.client.get_many(rows, on_error="null"))
        return [(dict(each), each.statuses) for each in found]

    def close(self) -> None:
        self._done(self.client.close())
        if self._loop is not None:
            self._loop.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class Watch:
    """What readers saw while something happened to the servers."""

    def __init__(self) -> None:
        self.answers = 0
        self.wrong: list[Any] = []
        self.failures: list[OnlineStoreError] = []
        self.broken: list[BaseException] = []


@contextmanager
def reading(url: str, *, timeout: float) -> Iterator[Watch]:
    """Read one by one and all at once, with both clients, until the block ends."""
    watch, ended = Watch(), Event()

    def read(kind: str, *, at_once: bool) -> None:
        try:
            with Reader(kind, url, timeout=timeout) as reader:
                while not ended.is_set():
                    for found, right in _asks(reader, at_once=at_once):
                        _note(watch, found, right)
                        if ended.is_set():
                            break
        except BaseException as broken:  # noqa: BLE001 - it fails the test, in the thread that waits
            watch.broken.append(broken)

    threads = [Thread(target=read, args=(kind,), kwargs={"at_once": each}) for kind in KINDS for each in (True, False)]
    for thread in threads:
        thread.start()
    try:
        yield watch
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert not watch.broken, watch.broken


def _asks(reader: Reader, *, at_once: bool) -> Iterator[tuple[Callable[[], Any], Any]]:
    if at_once:
        yield reader.get_many, RIGHT
    else:
        for keys, right in zip(BASKETS, RIGHT, strict=True):
            yield (lambda named=keys: reader.get(**named)), right


def _note(watch: Watch, ask: Callable[[], Any], right: Any) -> None:
    try:
        found = ask()
    except OnlineStoreError as failed:
        watch.failures.append(failed)
    else:
        watch.answers += 1
        if found != right:
            watch.wrong.append(found)
