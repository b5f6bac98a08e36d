"""The row keys that a request for many entities asks for, and the values that belong to them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Self

from feature_sync.errors import RequestError
from feature_sync.serving.entities import Entities, at_row
from feature_sync.serving.layouts import Row
from feature_sync.serving.service_rows import ServiceRows


class RowPlan:
    """The row keys of all entities, by selection."""

    __slots__ = ("_keys", "_missing", "invalid", "wanted")

    def __init__(
        self, keys: Sequence[Sequence[bytes | None]], invalid: Sequence[set[int]], missing: Sequence[Row]
    ) -> None:
        """Take keys; see `of`."""
        self._keys = keys
        self._missing = missing
        self.invalid = invalid
        """By selection, the positions of entities whose keys cannot be read."""
        self.wanted = [[key for key in each if key is not None] for each in keys]
        """The keys that are not null, by selection."""

    @classmethod
    def of(cls, service: ServiceRows, entities: Entities) -> Self:
        """Write the row keys of entities.

        Raises:
            RequestError: A key is of the wrong type, and the service is not lenient.
        """
        plan: list[list[bytes | None]] = []
        invalid: list[set[int]] = []
        for view in service.views:
            wrong: set[int] = set()
            try:
                plan.append(view.keys(entities.columns))
            except RequestError:
                keys: list[bytes | None] = []
                for at, entity in enumerate(entities):
                    try:
                        keys.append(view.key(entity))
                    except RequestError as unfit:
                        if not service.lenient:
                            raise at_row(unfit, at, len(entities)) from unfit
                        wrong.add(at)
                        keys.append(None)
                plan.append(keys)
            invalid.append(wrong)
        return cls(plan, invalid, [view.missing for view in service.views])

    def by_key(self, found: list[bytes | None]) -> list[list[bytes | None]]:
        """Return the values found for the keys of each selection; a null key has none."""
        if len(found) == sum(map(len, self._keys)):
            ends = [*accumulate(map(len, self._keys))]
            return [found[end - len(keys) : end] for keys, end in zip(self._keys, ends, strict=True)]
        values = iter(found)
        return [[None if key is None else next(values) for key in keys] for keys in self._keys]

    def with_nulls(self, rows: list[list[Row]]) -> list[list[Row]]:
        """Return the rows of each selection, with missing ones for null keys."""
        if [*map(len, self._keys)] == [*map(len, rows)]:
            return rows
        found: list[list[Row]] = []
        for keys, some, missing in zip(self._keys, rows, self._missing, strict=True):
            left = iter(some)
            found.append([missing if key is None else next(left) for key in keys])
        return found
