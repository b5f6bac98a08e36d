"""Writes the JSON documents of commands and files: moments in UTC, non-finite numbers as text, one format version."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

FORMAT_VERSION = "1.0"
"""Of all documents: the minor number grows with new keys, the major one if a key is removed or changes its meaning."""


def write_document(content: Mapping[str, Any]) -> str:
    """Return the text of a JSON object with values of all feature types, the format version first.

    A moment becomes `2013-01-31T17:00:00Z`, bytes become hexadecimal digits; NaN, infinities, decimals and UUIDs
    become text.
    """
    versioned = {"format_version": FORMAT_VERSION, **content}
    return json.dumps(_finite(versioned), indent=2, default=_as_json, ensure_ascii=False) + "\n"


def seconds(duration: timedelta | None) -> float | None:
    """Return a duration in seconds, as documents hold it; None for None."""
    return None if duration is None else duration.total_seconds()


def _finite(value: Any) -> Any:
    """Replace NaN and infinities, which JSON lacks, by text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, (list, tuple)) else value


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        is_naive = value.tzinfo is None
        return value.isoformat() if is_naive else f"{value.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"
    if isinstance(value, (date, Decimal, UUID)):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(type(value).__name__)
