"""Finds the row keys of one entity: exactly where its keys are all that a view has, else among all keys of the view."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from feature_sync.online.base import OnlineView
from feature_sync.value_types import ValueType


def keys_of(view: OnlineView, types: Sequence[ValueType], values: Mapping[int, Any]) -> list[bytes]:
    """Return the keys of the rows of an entity that the store holds.

    Args:
        view: The view.
        types: The types of its join keys, in order.
        values: The entity's keys in wire form, by their positions among the join keys.
    """
    if len(values) == len(types):
        keys = view.key_writer(types)([[values[at]] for at in range(len(types))])
        return [key for key, exists in zip(keys, view.exist(keys), strict=True) if exists]
    return _with_parts(view, types, values, view.row_keys())


def journal_keys_of(view: OnlineView, types: Sequence[ValueType], values: Mapping[int, Any]) -> list[bytes]:
    """Return the keys of an entity that the journal of the view's stream names, rows that it deleted included.

    Args: as of `keys_of`.
    """
    if len(values) == len(types):
        keys = view.key_writer(types)([[values[at]] for at in range(len(types))])
        return [key for key, position in zip(keys, view.stream_positions(keys), strict=True) if position is not None]
    return _with_parts(view, types, values, view.journal_keys())


def _with_parts(
    view: OnlineView, types: Sequence[ValueType], values: Mapping[int, Any], batches: Iterable[Sequence[bytes]]
) -> list[bytes]:
    wanted = {at: _part(view, types[at], value) for at, value in values.items()}
    begin = len(f"{view.name}:{{".encode())
    found = {
        key
        for keys in batches
        for key in keys
        if (parts := key[begin:-1].split(b"|")) and all(parts[at] == part for at, part in wanted.items())
    }
    return sorted(found)


def _part(view: OnlineView, kind: ValueType, value: Any) -> bytes:
    """Return how a key of several parts holds a value: what stands beside another part, here an empty text."""
    (key,) = view.key_writer([kind, ValueType("string")])([[value], [""]])
    return key[len(f"{view.name}:{{".encode()) : -2]
