"""Writes feature vectors as Feast's feature server does; `documents.py` says where its shape is described."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from feature_sync.errors import OnlineStoreError
from feature_sync.serving.layouts import GONE, Row
from feature_sync.serving.server.json_values import Converter, json_converter
from feature_sync.serving.service_rows import ServiceRows
from feature_sync.serving.status import Status
from feature_sync.serving.vectors import FeatureVectors
from feature_sync.serving.view_rows import ViewRows
from feature_sync.value_types import from_microseconds

FEAST_WORDS = {
    Status.PRESENT: "PRESENT",
    Status.NULL: "NULL_VALUE",
    Status.MISSING: "NOT_FOUND",
    Status.EXPIRED: "OUTSIDE_MAX_AGE",
    Status.GONE: "INVALID",
    Status.INVALID: "INVALID",
}
"""Feast has one word for what cannot be read."""
_UNKNOWN = "1970-01-01T00:00:00Z"
_encode = msgspec.json.encode


class AnswerWriter:
    """Writes the answers of one compiled card."""

    def __init__(self, service: ServiceRows) -> None:
        """Prepare what all answers share.

        Args:
            service: The compiled card.
        """
        self.service = service
        self._views = [_ViewWriter(view) for view in service.views]
        outputs = [(each.view, feature.output) for each in service.card.selections for feature in each.features]
        self._metadata = {
            is_full: b'{"metadata":{"feature_names":'
            + _encode([*service.keys, *(f"{view}__{name}" if is_full else name for view, name in outputs)])
            + b'},"results":'
            for is_full in (False, True)
        }

    def write(self, vectors: FeatureVectors, *, full_names: bool) -> tuple[bytes, Counter[Status]]:
        """Return the answer in JSON, and how many of its values have each status.

        Args:
            vectors: The vectors, read by this card.
            full_names: Name features by their view, too.

        Raises:
            OnlineStoreError: A row has an event timestamp that there is not.
        """
        count, counts = len(vectors), Counter[Status]()
        present, unknown = _repeated("PRESENT", count), _repeated(_UNKNOWN, count)
        columns: list[dict[str, Any]] = [
            {"values": vectors.entities.columns[key], "statuses": present, "event_timestamps": unknown}
            for key in self.service.keys
        ]
        for view, rows in zip(self._views, vectors.rows, strict=True):
            columns += view.columns(rows, present, counts)
        return self._metadata[full_names] + _encode(columns) + b"}", counts


class _ViewWriter:
    """Writes the features of one selection."""

    def __init__(self, view: ViewRows) -> None:
        self._reference = view.selection.view
        self._converters = tuple(map(json_converter, view.kinds))

    def columns(self, rows: Sequence[Row], present: msgspec.Raw, counts: Counter[Status]) -> list[dict[str, Any]]:
        """Return the columns of all features, and count their statuses."""
        if not rows:
            return [{"values": [], "statuses": [], "event_timestamps": []} for _ in self._converters]
        heads, moments, *columns = zip(*rows, strict=True)
        timestamps = self._timestamps(moments)
        answered = [head if type(head) is Status else None for head in heads]
        is_answered = not any(answered)
        written = []
        for column, convert in zip(columns, self._converters, strict=True):
            if is_answered and None not in column and GONE not in column:
                counts[Status.PRESENT] += len(column)
                statuses: Any = present
                values = column if convert is None else [convert(each) for each in column]
            else:
                found = [head or _status(value) for head, value in zip(answered, column, strict=True)]
                counts.update(found)
                statuses = [FEAST_WORDS[each] for each in found]
                values = [_value(each, convert) for each in column]
            written.append({"values": values, "statuses": statuses, "event_timestamps": timestamps})
        return written

    def _timestamps(self, moments: Sequence[int | None]) -> msgspec.Raw:
        try:
            return msgspec.Raw(_encode([_UNKNOWN if each is None else from_microseconds(each) for each in moments]))
        except (ArithmeticError, ValueError) as wrong:
            raise OnlineStoreError(
                f"{self._reference}: a row in Redis has an event timestamp that cannot be read ({wrong}); push "
                "again: feature-sync push --full-refresh"
            ) from wrong


def _repeated(text: str, count: int) -> msgspec.Raw:
    return msgspec.Raw(_encode([text] * count))


def _status(value: Any) -> Status:
    if value is GONE:
        return Status.GONE
    return Status.NULL if value is None else Status.PRESENT


def _value(value: Any, convert: Converter | None) -> Any:
    if value is None or value is GONE:
        return None
    return value if convert is None else convert(value)
