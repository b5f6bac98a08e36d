"""Checksums of Redis keys in buckets: equal checksums mean, all but certainly, that a bucket holds the same keys."""

from __future__ import annotations

from collections.abc import Iterable

_BUCKETS = 1_024


class Checksums:
    """The number of keys in each bucket and the sum of their 64-bit hashes.

    Comparable only within one process: Python salts `hash` of bytes anew in each.
    """

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self._sums = [0] * _BUCKETS

    def add(self, keys: Iterable[bytes]) -> None:
        """Add keys; a key added twice counts twice."""
        counts, sums = self._counts, self._sums
        for key in keys:
            digest = hash(key)
            bucket = digest % _BUCKETS
            counts[bucket] += 1
            sums[bucket] += digest

    def differing(self, other: Checksums) -> Buckets:
        """Return the buckets whose checksums differ."""
        mine = zip(self._counts, self._sums, strict=True)
        theirs = zip(other._counts, other._sums, strict=True)
        return Buckets({at for at, (one, two) in enumerate(zip(mine, theirs, strict=True)) if one != two})


class Buckets:
    """A set of bucket numbers; false if it is empty."""

    def __init__(self, numbers: set[int]) -> None:
        self._numbers = numbers

    def __bool__(self) -> bool:
        return bool(self._numbers)

    def of(self, keys: Iterable[bytes]) -> list[bytes]:
        """Return the keys that fall into these buckets."""
        return [key for key in keys if hash(key) % _BUCKETS in self._numbers]
