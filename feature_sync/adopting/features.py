"""Chooses the columns that models may see, and says of every other why it is left out."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from feature_sync.adopting.names import IS_DELETED, may_be_personal, written_rank
from feature_sync.adopting.table import Table, TableColumn


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureGuess:
    """The columns to list, and remarks on those that are not."""

    names: tuple[str, ...]
    remarks: tuple[str, ...]


def guess_features(table: Table, reserved: AbstractSet[str]) -> FeatureGuess:
    """List all columns but keys and times, and but those that a person should think about first."""
    names: list[str] = []
    left_out: dict[str, list[str]] = {}
    for column in table.facts():
        if column.name in reserved:
            continue
        if reason := next(_reasons_to_leave_out(column), None):
            left_out.setdefault(reason, []).append(column.name)
        else:
            names.append(column.name)
    remarks = tuple(f"left out: {', '.join(columns)}, {reason}" for reason, columns in left_out.items())
    return FeatureGuess(names=tuple(names), remarks=remarks)


def _reasons_to_leave_out(column: TableColumn) -> Iterator[str]:
    """Say what speaks against a feature, the weightiest first."""
    if not column.is_offered:
        yield "by its own YAML"
    if column.name == IS_DELETED:
        yield "which marks deleted rows: leave those out in the model"
    if may_be_personal(column.name):
        yield "which may be personal data"
    if column.is_uncast_time:
        yield f"which is named like a time and is {column.data_type}: cast it in the model"
    if column.kind is None and column.data_type is not None:
        yield f"whose type {column.data_type} cannot be a feature: cast it in the model"
    if written_rank(column.name) is not None and (column.is_time or column.data_type is None):
        yield "which says when the row was written"
