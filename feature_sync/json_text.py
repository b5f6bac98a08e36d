"""Writes the JSON documents of commands and files: moments in UTC, numbers that JSON lacks as text, one version."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

FORMAT_VERSION = "1.0"
"""Of all documents. The minor number grows with new keys, the major one where a key goes or changes its meaning."""


def write_document(content: Mapping[str, Any]) -> str:
    """Write a JSON object of values of all our types, its version first.

    A moment becomes `2013-01-31T17:00:00Z`, bytes become hexadecimal digits; NaN, infinities, decimals and UUIDs text.
    """
    versioned = {"format_version": FORMAT_VERSION, **content}
    return json.dumps(_finite(versioned), indent=2, default=_as_json, ensure_ascii=False) + "\n"


def seconds(duration: timedelta | None) -> float | None:
    """A duration as documents hold it."""
    return None if duration is None else duration.total_seconds()


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become text."""
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
