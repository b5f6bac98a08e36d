"""The closed list of types that features and keys can have, the same in every warehouse and in Redis."""

from feature_sync.value_types.key_forms import KeyForm, shown_key
from feature_sync.value_types.moments import (
    EPOCH,
    MICROSECOND,
    as_utc,
    from_microseconds,
    moved,
    seen_in,
    since_epoch,
    to_microseconds,
)
from feature_sync.value_types.scalars import SCALARS, DefaultForm, Equality, Scalar
from feature_sync.value_types.value_type import ValueType, parse, read_default

__all__ = [
    "EPOCH",
    "MICROSECOND",
    "SCALARS",
    "DefaultForm",
    "Equality",
    "KeyForm",
    "Scalar",
    "ValueType",
    "as_utc",
    "from_microseconds",
    "moved",
    "parse",
    "read_default",
    "seen_in",
    "shown_key",
    "since_epoch",
    "to_microseconds",
]
