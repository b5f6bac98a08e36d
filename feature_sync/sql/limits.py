"""Values that Redis or a file could not hold exactly: refused in SQL, before a push sends anything."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlglot import exp

from feature_sync.sql.dialects.base import Dialect, call
from feature_sync.value_types import ValueType

_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_MOST_DIGITS = 38
_MORE_DIGITS = f"more than {_MOST_DIGITS} digits before or after the point of a numeric without a precision"
_LAST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


def within_limits(value: exp.Expr, kind: ValueType, name: str, *, dialect: Dialect, finite: bool = False) -> exp.Expr:
    """Return the value, or fail the query with an error that names its column.

    Refused values are times outside the years 1 to 9999, NaN, infinity and too many digits in a numeric, and arrays of
    several dimensions, whose type is the same as of one dimension. An infinite time passes, as Redis holds it as null.

    Args:
        value: The value.
        kind: Its type.
        name: The column to name in the error.
        dialect: The dialect of the query.
        finite: Whether to refuse infinite times, too; inside arrays and structs they are always refused.
    """
    checks = _checks(value, kind, dialect, finite=finite)
    if not checks:
        return value
    ifs = [exp.If(this=is_wrong, true=dialect.refuse(name, reason, value)) for reason, is_wrong in checks]
    is_refused = exp.Case(ifs=ifs, default=exp.false())
    return exp.Case(ifs=[exp.If(this=exp.Not(this=is_refused), true=value.copy())])


def _checks(value: exp.Expr, kind: ValueType, dialect: Dialect, *, finite: bool) -> list[tuple[str, exp.Expr]]:
    """List what may be wrong with a value, as pairs of a reason and the condition under which it applies."""
    if kind.is_time and (dialect.has_infinite_times or dialect.has_far_times):
        finite = finite or not dialect.has_infinite_times
        return [("a time outside the years 1 to 9999", _is_out_of_years(value, kind, dialect, finite=finite))]
    if kind.kind == "decimal" and dialect.has_numeric_nan:
        odd = [exp.cast(exp.Literal.string(each), "decimal") for each in ("NaN", "Infinity", "-Infinity")]
        checks: list[tuple[str, exp.Expr]] = [
            ("NaN or infinity as a numeric", exp.In(this=value.copy(), expressions=odd))
        ]
        return checks if kind.precision is not None else [*checks, (_MORE_DIGITS, _has_more_digits(value))]
    if kind.element is not None:
        return _checks_of_items(value, kind.element, dialect)
    if kind.kind == "struct":
        return [
            check
            for name, each in kind.fields
            for check in _checks(
                exp.Dot(this=value.copy(), expression=exp.to_identifier(name, quoted=True)), each, dialect, finite=True
            )
        ]
    return []


def _has_more_digits(value: exp.Expr) -> exp.Expr:
    """True if a numeric without a precision has more digits than Arrow's decimal128 holds."""
    digits = exp.Literal.number(_MOST_DIGITS)
    first_beyond = exp.cast(exp.Literal.string(f"1e{_MOST_DIGITS}"), "decimal")
    return exp.or_(
        exp.GTE(this=exp.Abs(this=value.copy()), expression=first_beyond),
        exp.NEQ(this=value.copy(), expression=exp.Round(this=value.copy(), decimals=digits)),
    )


def _is_out_of_years(value: exp.Expr, kind: ValueType, dialect: Dialect, *, finite: bool) -> exp.Expr:
    out = exp.or_(
        exp.LT(this=value.copy(), expression=dialect.literal(_FIRST, kind)),
        exp.GT(this=value.copy(), expression=dialect.literal(_LAST, kind)),
    )
    return out if finite else exp.and_(call("ISFINITE", value.copy()), out)


def _checks_of_items(value: exp.Expr, element: ValueType, dialect: Dialect) -> list[tuple[str, exp.Expr]]:
    checks: list[tuple[str, exp.Expr]] = []
    if dialect.hides_dimensions:
        several = exp.GT(this=call("ARRAY_NDIMS", value.copy()), expression=exp.Literal.number(1))
        checks.append(("an array of several dimensions", several))
    item = exp.to_identifier("item", quoted=True)
    for reason, is_wrong in _checks(exp.column(item), element, dialect, finite=True):
        checks.append((reason, dialect.any_item(value.copy(), item, is_wrong)))
    return checks
