"""BigQuery, whose TIMESTAMP is an instant and whose DATETIME is a wall clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from sqlglot import exp

from feature_sync.sql.columns import is_not_null, named, quoted
from feature_sync.sql.dialects.base import Dialect, call, in_units
from feature_sync.value_types import ValueType

_MOST_CLUSTERED = 4
_CHANGES = 3
_DAYS_TO_KEEP = 7
"""After how many days tables of a killed push expire; the next push has to run before."""
_FIRST_MOMENT = datetime(1, 1, 1, tzinfo=UTC)
_HASH_VERSION = 4
"""To be raised by every change that gives a row another hash, or a table of rows other columns."""
_HASH_DIGITS = 15
"""The most hexadecimal digits that BigQuery always casts to a positive INT64."""


class BigQuery(Dialect):
    """Moments are TIMESTAMPs; a DATETIME is converted explicitly before it is compared with one."""

    name = "bigquery"
    caveat = "are tested with Google's own analyzer and reference engine, but not executed by us on BigQuery"
    moment_type = "timestamptz"
    is_null_beyond_time = True
    puts_nan_highest = False
    has_float32 = False
    plain_decimals: ClassVar[Mapping[exp.DType, tuple[int, int]]] = {
        exp.DType.DECIMAL: (38, 9), exp.DType.BIGDECIMAL: (76, 38),
    }  # fmt: skip
    # It has transactions, but they cannot create tables; and it does not enforce keys.
    has_transactions = False

    def utc(self, moment: exp.Expr, kind: ValueType, *, timezone: str) -> exp.Expr:
        if kind.kind == "timestamptz":
            return moment
        if timezone.upper() == "UTC":
            return call("TIMESTAMP", moment, timezone)
        return _last_reading(exp.cast(moment, "datetime") if kind.kind == "date" else moment, timezone)

    def later(self, moment: exp.Expr, duration: timedelta | None) -> exp.Expr:
        return _moved("SAFE.TIMESTAMP_ADD", moment, duration) if duration else moment

    def earlier(self, moment: exp.Expr, duration: timedelta | None) -> exp.Expr:
        """Move back, at most to the first moment of BigQuery, which no row precedes."""
        if not duration:
            return moment
        first = exp.If(this=is_not_null(moment.copy()), true=self.moment(_FIRST_MOMENT))
        return exp.Coalesce(this=_moved("SAFE.TIMESTAMP_SUB", moment, duration), expressions=[exp.Case(ifs=[first])])

    def microseconds(self, moment: exp.Expr) -> exp.Expr:
        return call("UNIX_MICROS", moment)

    def days(self, date: exp.Expr) -> exp.Expr:
        return call("UNIX_DATE", date)

    def row_hash(self, values: Iterable[tuple[exp.Expr, ValueType]]) -> exp.Expr:
        """Hash the row's JSON text to 60 bits, as an INT64, of which a scan costs half as much as of a NUMERIC.

        Each value is named by its position: of values without a name or with equal names, the text may hold only one.
        """
        parts: list[exp.Expr] = []
        for value, kind in values:
            parts += [value, *(self.distinguish_equals(value.copy(), kind) if kind.holds("float64") else [])]
        row = call("TO_JSON_STRING", call("STRUCT", *(named(each, f"_{at}") for at, each in enumerate(parts))))
        digits = exp.Substring(
            this=exp.MD5(this=row), start=exp.Literal.number(1), length=exp.Literal.number(_HASH_DIGITS)
        )
        return exp.cast(call("CONCAT", "0x", digits), "bigint")

    @property
    def hash_version(self) -> str:
        return f"{self.name} {_HASH_VERSION}"

    def json_text(self, value: exp.Expr) -> exp.Expr:
        # TO_JSON_STRING writes NULL as the text "null", which would win ties.
        text = exp.If(this=is_not_null(value), true=call("TO_JSON_STRING", value.copy()))
        return exp.Case(ifs=[text])

    def distinguish_equals(self, value: exp.Expr, kind: ValueType) -> list[exp.Expr]:
        """Divide 1 by a double, and write other arrays and structs as literals: text and JSON lose the sign of -0.0."""
        if kind.kind == "float64":
            return [exp.cast(call("IEEE_DIVIDE", exp.Literal.number(1), value), "double")]
        if kind.element is not None and kind.element.kind == "float64":
            item = exp.to_identifier("item", quoted=True)
            divided = exp.cast(call("IEEE_DIVIDE", exp.Literal.number(1), exp.column(item)), "double")
            return [call("TO_JSON_STRING", self.convert_array(value, item, divided))]
        if kind.kind in ("array", "struct"):
            return [call("FORMAT", "%T", value)] if kind.holds("float64") else []
        return super().distinguish_equals(value, kind)

    def stored_json(self, value: exp.Expr) -> exp.Expr:
        return self.json_text(value)

    def layout(self, keys: Sequence[str], *, change: str) -> exp.Properties:
        """Add a partition for each `change`: a query for the rows to send is billed for those alone."""
        days = exp.TimestampAdd(
            this=call("CURRENT_TIMESTAMP"), expression=exp.Literal.number(_DAYS_TO_KEEP), unit=exp.var("DAY")
        )
        columns = [quoted(key) for key in keys[:_MOST_CLUSTERED]]
        ranges = exp.GenerateSeries(start=_number(0), end=_number(_CHANGES), step=_number(1))
        partition = exp.PartitionedByProperty(this=exp.RangeBucket(this=quoted(change), expression=ranges))
        return exp.Properties(expressions=[partition, exp.ClusterProperty(expressions=columns), _expiring(days)])

    def kept(self, table: exp.Table) -> exp.Expr:
        options = exp.Properties(expressions=[_expiring(exp.null())])
        return exp.Alter(this=table, kind="TABLE", actions=[exp.AlterSet(expressions=[options])])


def _number(value: int) -> exp.Expr:
    return exp.Literal.number(value)


def _expiring(moment: exp.Expr) -> exp.Property:
    return exp.Property(this=exp.var("expiration_timestamp"), value=moment)


def _last_reading(wall_clock: exp.Expr, timezone: str) -> exp.Expr:
    """Convert a wall clock to UTC; of two readings the later one.

    BigQuery takes the first of two readings; the later one is that with the offset of the next day, if it maps back to
    this wall clock. On the last day of BigQuery, SAFE returns null for the next day and the first reading stays.
    """
    a_day = exp.Interval(this=exp.Literal.number(1), unit=exp.var("DAY"))
    next_day = call("SAFE.TIMESTAMP", call("SAFE.DATETIME_ADD", wall_clock, a_day), timezone)
    last = _moved("SAFE.TIMESTAMP_SUB", next_day, timedelta(days=1))
    shows_the_same = call("DATETIME", last.copy(), timezone).eq(wall_clock.copy())
    return exp.Case(
        ifs=[exp.If(this=shows_the_same, true=last)], default=call("TIMESTAMP", wall_clock.copy(), timezone)
    )


def _moved(how: str, moment: exp.Expr, duration: timedelta) -> exp.Expr:
    """Move a moment; beyond the years 1 to 9999, SAFE returns null instead of an error that fails the whole query."""
    size, unit = in_units(duration)
    return call(how, moment, exp.Interval(this=exp.Literal.number(size), unit=exp.var(unit)))
