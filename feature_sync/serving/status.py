"""The origin of a value in a feature vector."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """The origin of a value."""

    PRESENT = "present"
    NULL = "null"
    """The row holds null."""
    MISSING = "missing"
    """No row exists: never pushed, removed, or expired by Redis. The default answers."""
    EXPIRED = "expired"
    """A row exists, but at the reader's clock it is older than the TTL or the client's `max_age`, or has ended. The
    default answers."""
    GONE = "gone"
    """The row was pushed without the feature, or with another type. An error, or null with `on_error="null"`."""
    INVALID = "invalid"
    """The key is not of the view's type, or the row cannot be read. An error, or null with `on_error="null"`."""
