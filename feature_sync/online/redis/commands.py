"""The commands of Redis that readers send, with the types that they return; redis-py's own say less."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from types import TracebackType
from typing import Any, Protocol, Self


class Pipeline(Protocol):
    """Commands that are sent together; each only collects."""

    def exists(self, name: bytes) -> object:
        """Ask whether a key exists."""

    def memory_usage(self, key: bytes) -> object:
        """Ask for the bytes of memory of a key."""

    def execute(self) -> list[int | None]:
        """Send the commands; returns a reply for each."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Commands(Protocol):
    """A client of redis-py, as far as it reads; replies are not decoded."""

    def ping(self) -> bool:
        """True if Redis answers as it should."""

    def get(self, name: str) -> bytes | None:
        """Return a value."""

    def set(self, name: str, value: str, *, nx: bool) -> bool | None:
        """Set a value; with `nx` only if the key does not exist."""

    def mget(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return many values; None for a key of another type, too."""

    def hgetall(self, name: str) -> dict[bytes, bytes]:
        """Return a hash."""

    def hmget(self, name: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return some fields of a hash."""

    def hlen(self, name: str) -> int:
        """Return the number of fields of a hash; 0 if there is none."""

    def hscan(self, name: str, cursor: int, *, count: int) -> tuple[int, dict[bytes, bytes]]:
        """Return the next cursor, 0 at the end, and some fields of a hash."""

    def smembers(self, name: str) -> AbstractSet[bytes]:
        """Return a set."""

    def scan(self, cursor: int, *, match: str | bytes, count: int, _type: str | None = None) -> tuple[int, list[bytes]]:
        """Return the next cursor, 0 at the end, and some keys."""

    def info(self, section: str) -> dict[str, Any]:
        """Return what the server reports of itself; values are numbers or text."""

    def pipeline(self, *, transaction: bool) -> Pipeline:
        """Return an empty pipeline."""
