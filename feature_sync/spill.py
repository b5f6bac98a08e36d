"""Keys on disk, in parts small enough for memory: to find those that Redis holds and the warehouse does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryFile
from types import TracebackType
from typing import Self

import msgspec

from feature_sync.errors import OutputError

_PARTS = 64
_LENGTH_BYTES = 4


@contextmanager
def _spilling() -> Iterator[None]:
    try:
        yield
    except OSError as refused:
        reason = refused.strerror or refused
        raise OutputError(
            f"temporary files cannot be written: {reason}; name a folder with room in TMPDIR"
        ) from refused


class KeySpill:
    """A bag of keys; equal ones are in the same part. Its files have no names, and are gone with the process."""

    def __init__(self) -> None:
        self.count = 0
        self._opened = ExitStack()
        with _spilling():
            self._files = [self._opened.enter_context(TemporaryFile()) for _ in range(_PARTS)]  # noqa: SIM115

    def add(self, keys: Sequence[bytes]) -> None:
        """Add keys."""
        parts: dict[int, list[bytes]] = {}
        for key in keys:
            parts.setdefault(hash(key) % _PARTS, []).append(key)
        for part, some in parts.items():
            content = msgspec.msgpack.encode(some)
            with _spilling():
                self._files[part].write(len(content).to_bytes(_LENGTH_BYTES) + content)
        self.count += len(keys)

    def minus(self, other: KeySpill) -> Iterator[bytes]:
        """Find the keys that the other lacks, each once; memory holds one part of both."""
        for part in range(_PARTS):
            if keys := self._part(part):
                yield from keys - other._part(part)

    def _part(self, part: int) -> set[bytes]:
        file = self._files[part]
        with _spilling():
            file.seek(0)  # which writes what is still in memory
        keys: set[bytes] = set()
        while length := file.read(_LENGTH_BYTES):
            keys.update(msgspec.msgpack.decode(file.read(int.from_bytes(length)), type=list[bytes]))
        return keys

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()
