"""Defaults of features as expressions: what stands in where no row answers, exact and free of sessions' settings."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from sqlglot import exp

from feature_sync.sql.dialects.base import Dialect
from feature_sync.value_types import ValueType


def default_value(default: Any, kind: ValueType, *, stored: exp.DataType, dialect: Dialect) -> exp.Expr:
    """Write a default that `read_default` has read, as a value of the type in which its feature is stored."""
    if isinstance(default, date):
        moment = default if isinstance(default, datetime) else datetime.combine(default, time(), UTC)
        return exp.cast(dialect.literal(moment, kind), stored)
    return exp.cast(_number(default, dialect), stored)


def _number(default: Any, dialect: Dialect) -> exp.Expr:
    """Write as text the numbers whose literals a warehouse may read as doubles, or does not know."""
    if isinstance(default, Decimal) or (isinstance(default, int) and abs(default) >= 2**63):
        return exp.Literal.string(f"{default:f}" if isinstance(default, Decimal) else str(default))
    if isinstance(default, float) and not math.isfinite(default):
        return exp.Literal.string(str(default).replace("inf", dialect.infinity).replace("nan", "NaN"))
    return exp.convert(default)
