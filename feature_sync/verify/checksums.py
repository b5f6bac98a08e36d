"""Checksums of keys in buckets: two sets of keys are equal where the checksums of their buckets are."""

from __future__ import annotations

from collections.abc import Iterable

_BUCKETS = 1_024


class Checksums:
    """The number of keys in each bucket, and the sum of their hashes of 64 bits; both hold for this process alone."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self._sums = [0] * _BUCKETS

    def add(self, keys: Iterable[bytes]) -> None:
        """Add keys; one that is added twice counts twice."""
        counts, sums = self._counts, self._sums
        for key in keys:
            digest = hash(key)
            bucket = digest % _BUCKETS
            counts[bucket] += 1
            sums[bucket] += digest

    def differing(self, other: Checksums) -> Buckets:
        """Find the buckets in which the other has other keys."""
        mine = zip(self._counts, self._sums, strict=True)
        theirs = zip(other._counts, other._sums, strict=True)
        return Buckets({at for at, (one, two) in enumerate(zip(mine, theirs, strict=True)) if one != two})


class Buckets:
    """Some of the buckets."""

    def __init__(self, numbers: set[int]) -> None:
        self._numbers = numbers

    def __bool__(self) -> bool:
        return bool(self._numbers)

    def of(self, keys: Iterable[bytes]) -> list[bytes]:
        """Choose the keys that are in these buckets."""
        return [key for key in keys if hash(key) % _BUCKETS in self._numbers]
