"""Keys on disk, in parts small enough for memory: finds the keys that Redis holds and the warehouse does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Self

import msgspec

from feature_sync.errors import OutputError

_PARTS = 64
_LENGTH_BYTES = 4


@contextmanager
def writing_temporary_files() -> Iterator[None]:
    """Say in errors of the system inside which files it was that could not be written, and what to do.

    Raises:
        OutputError: The system refused.
    """
    try:
        yield
    except OSError as refused:
        reason = refused.strerror or refused
        raise OutputError(
            f"temporary files cannot be written: {reason}; name a folder with room in TMPDIR"
        ) from refused


class KeySpill:
    """A multiset of keys on disk; equal keys are in the same part. Its unnamed files vanish with the process.

    Most spills of a push stay empty, and open no file.
    """

    def __init__(self) -> None:
        self.count = 0
        self._opened = ExitStack()
        self._files: dict[int, IO[bytes]] = {}

    def add(self, keys: Sequence[bytes]) -> None:
        """Add keys, also ones that were added before."""
        parts: dict[int, list[bytes]] = {}
        for key in keys:
            # hash() of bytes differs between processes: only spills of one process have the same parts
            parts.setdefault(hash(key) % _PARTS, []).append(key)
        for part, batch in parts.items():
            content = msgspec.msgpack.encode(batch)
            with writing_temporary_files():
                self._file(part).write(len(content).to_bytes(_LENGTH_BYTES) + content)
        self.count += len(keys)

    def minus(self, other: KeySpill) -> Iterator[bytes]:
        """Yield the keys that the other spill lacks, each once; holds one part of both in memory.

        Nothing may be added to either while this iterates: both files are read where they would be written.
        """
        for part in range(_PARTS):
            if keys := self._part(part):
                yield from keys - other._part(part)

    def _file(self, part: int) -> IO[bytes]:
        if part not in self._files:
            self._files[part] = self._opened.enter_context(TemporaryFile())  # noqa: SIM115
        return self._files[part]

    def _part(self, part: int) -> set[bytes]:
        file = self._files.get(part)
        if file is None:
            return set()
        with writing_temporary_files():
            file.seek(0)  # also flushes what is still buffered, which may fail for lack of space
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
