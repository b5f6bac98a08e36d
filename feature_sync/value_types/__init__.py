"""The closed list of types of features and keys, the same in every warehouse and in Redis."""

from feature_sync.value_types.key_forms import KeyForm, printable_key
from feature_sync.value_types.moments import (
    EPOCH,
    MICROSECOND,
    as_utc,
    from_microseconds,
    in_zone,
    moved,
    since_epoch,
    to_microseconds,
)
from feature_sync.value_types.scalars import SCALARS, DefaultForm, Equality, Scalar
from feature_sync.value_types.value_type import ValueType, parse, read_default, wire_default

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
    "in_zone",
    "moved",
    "parse",
    "printable_key",
    "read_default",
    "since_epoch",
    "to_microseconds",
    "wire_default",
]
