"""The rows of a spine that is a file, or a frame in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from feature_sync.value_types import ValueType

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of a spine that is not a table of the warehouse.

    `read` returns them, given the types of the keys by column; `origin` describes their source in the sidecar; `index`
    holds the row labels of a pandas frame.
    """

    read: Callable[[Mapping[str, ValueType]], pyarrow.RecordBatchReader] = field(repr=False)
    origin: Mapping[str, Any]
    index: Any = field(default=None, repr=False)
