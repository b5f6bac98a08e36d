"""The interface of a dialect: what differs between warehouses, and the implementation that most of them share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from sqlglot import exp

from feature_sync.errors import RequestError, UnfitValue
from feature_sync.sql.columns import ascending
from feature_sync.value_types import Equality, ValueType

_UNITS = (("DAY", timedelta(days=1)), ("HOUR", timedelta(hours=1)), ("MINUTE", timedelta(minutes=1)))


class Dialect(ABC):
    """The SQL of one warehouse. sqlglot spells expressions; a dialect adds what sqlglot cannot know.

    Moments are compared in UTC, in the type `moment_type`: wall clocks without a zone, so that the session's time zone
    cannot change an answer, or instants where the warehouse compares those independently of the session.
    """

    name: ClassVar[str]
    """The name of the dialect in sqlglot and of dbt's adapter."""
    caveat: ClassVar[str | None] = None
    """What to warn users about its queries; None if this package's tests run them on the engine itself."""
    strategies: ClassVar[tuple[str, ...]] = ("carry",)
    """The names of its join strategies, the default first."""
    looks_up_by_index: ClassVar[bool] = False
    """Whether looking rows up one by one is its fastest strategy if an index on keys and time exists."""
    moment_type: ClassVar[str] = "timestamp"
    """The type in which moments in UTC are compared."""
    naive_type: ClassVar[str] = "timestamp"
    """The type of a wall clock without a zone, with microseconds."""
    longest_name: ClassVar[int | None] = None
    """The number of bytes to which it silently truncates longer names; None if it does not."""
    number_type: ClassVar[str] = "bigint"
    """The type of a row's number."""
    numbers_across_entities: ClassVar[bool] = False
    """Whether the carry strategy should find a row by its number alone, because the planner misjudges the keys."""
    puts_nan_highest: ClassVar[bool] = True
    """Whether it orders NaN above all numbers; if not, the query adds a term for it."""
    infinity: ClassVar[str] = "Infinity"
    """The text that a cast turns into an infinite double."""
    has_distinct_on: ClassVar[bool] = False
    """Whether it has DISTINCT ON, which picks the first row of each key more cheaply than numbering all rows."""
    joins_newest: ClassVar[bool] = False
    """Whether the newest rows are found cheapest by a join with the newest event timestamp of each entity."""
    deep_from: ClassVar[float] = math.inf
    """From how many rows an entity on average the newest rows are found faster than all rows are hashed."""
    hash_join_setting: ClassVar[str | None] = None
    """The setting without which two sorted sets of rows are merged, where the planner would rather hash one of them."""
    hashes_rows: ClassVar[bool] = True
    """Whether pushed rows are compared by a stored hash; if not, by all their values."""
    buckets: ClassVar[int] = 1
    """The number of buckets of entities in the digest of a push, a power of two; 1 where more would not pay."""
    has_transactions: ClassVar[bool] = True
    """Whether several statements, also those that create tables, can take effect together and keys are enforced."""
    names_by_table: ClassVar[bool] = False
    """Whether a column of one of several tables is named `table.column` in the result unless it has an alias."""
    explicit_types: ClassVar[Mapping[exp.DType, str]] = {}
    """Spellings of types that would otherwise depend on the session, or have too little precision."""
    is_null_beyond_time: ClassVar[bool] = False
    """Whether `later` returns null beyond the last moment of the warehouse, instead of an error."""
    materializes: ClassVar[bool] = False
    """Whether a step can be marked as MATERIALIZED, to be evaluated once."""
    has_infinite_times: ClassVar[bool] = False
    """Whether dates and timestamps may be infinite, and outside the years 1 to 9999."""
    has_far_times: ClassVar[bool] = False
    """Whether dates and timestamps may be outside the years 1 to 9999, though none is infinite."""
    has_numeric_nan: ClassVar[bool] = False
    """Whether a decimal may be NaN or infinite."""
    hides_dimensions: ClassVar[bool] = False
    """Whether the type of an array omits its number of dimensions."""
    has_float32: ClassVar[bool] = True
    """Whether what sqlglot reads as FLOAT has 32 bits; if not, it has 64."""
    plain_decimals: ClassVar[Mapping[exp.DType, tuple[int, int]]] = {}
    """Precision and scale of a decimal whose type names none; of one that is not here, each value has its own."""

    def approximate_count(self, columns: Sequence[exp.Expr]) -> exp.Expr | None:  # noqa: ARG002
        """Estimate the number of distinct rows of some columns; None where that is not cheap enough to plan by it."""
        return None

    def fold(self, name: str) -> str:
        """Spell an unquoted name as the warehouse stores it."""
        return name

    def utc(self, moment: exp.Expr, kind: ValueType, *, timezone: str) -> exp.Expr:
        """Convert a time to a moment in UTC.

        Args:
            moment: A date, a naive timestamp or an aware timestamp.
            kind: Its type.
            timezone: The IANA zone of a date or a naive timestamp; without effect on an aware one.
        """
        if kind.kind == "timestamptz":
            return self._without_zone(moment)
        moment = self._cast(moment) if kind.kind == "date" else moment
        return moment if timezone.upper() == "UTC" else self._from_zone(moment, timezone)

    def stored(self, moment: exp.Expr, kind: ValueType) -> exp.Expr:
        """Convert a moment in UTC to the type of a column to compare it with, if that is an aware timestamp."""
        if kind.kind != "timestamptz":
            return moment
        return exp.AtTimeZone(this=exp.paren(moment), zone=exp.Literal.string("UTC"))

    def moment(self, moment: datetime) -> exp.Expr:
        """Write an aware moment as a literal."""
        return self._cast(exp.Literal.string(wall_clock(moment)))

    def literal(self, moment: datetime, kind: ValueType) -> exp.Expr:
        """Write a moment as a literal of a column's own type: an instant, a wall clock or a date.

        Only an instant is converted to UTC; a wall clock and a date are the ones that `moment` has.
        """
        if kind.kind == "date":
            return exp.cast(exp.Literal.string(moment.date().isoformat()), "date")
        if kind.kind == "timestamptz":
            return exp.cast(exp.Literal.string(f"{wall_clock(moment)}+00:00"), "timestamptz")
        text = moment.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
        return exp.cast(exp.Literal.string(text), self.naive_type)

    def later(self, moment: exp.Expr, duration: timedelta | None) -> exp.Expr:
        """Move a moment forward by a duration; return it unchanged if that is None or zero."""
        return exp.Add(this=moment, expression=self._interval(duration)) if duration else moment

    def earlier(self, moment: exp.Expr, duration: timedelta | None) -> exp.Expr:
        """Move a moment back by a duration; return it unchanged if that is None or zero."""
        return exp.Sub(this=moment, expression=self._interval(duration)) if duration else moment

    @abstractmethod
    def microseconds(self, moment: exp.Expr) -> exp.Expr:
        """Convert a moment to microseconds since 1970 in UTC; infinity becomes null."""

    def days(self, date: exp.Expr) -> exp.Expr:
        """Convert a date to days since 1970; infinity becomes null."""
        epoch = exp.cast(exp.Literal.string("1970-01-01"), "date")
        return exp.cast(exp.Sub(this=date, expression=epoch), "bigint")

    def json_text(self, value: exp.Expr) -> exp.Expr:
        """Write a value as JSON text; null stays null."""
        return exp.cast(exp.Anonymous(this="TO_JSON", expressions=[value]), "text")

    def ordered_text(self, value: exp.Expr, kind: ValueType) -> exp.Expr:
        """Write a value of a type without an order as the JSON text by which it is ordered; null stays null."""
        del kind
        return self.json_text(value)

    def row_hash(self, values: Iterable[tuple[exp.Expr, ValueType]]) -> exp.Expr:
        """Hash a row to at most 64 bits; barring collisions, rows that Redis would hold differently have other hashes.

        With `has_transactions`, the sum of these hashes identifies a table as well, because a row's hash is not a sum
        over its columns.

        Raises:
            RequestError: This warehouse does not support pushes.
        """
        del values
        raise RequestError(f"nothing can be pushed from {self.name}")

    def differ(self, one: exp.Expr, other: exp.Expr, kind: ValueType) -> exp.Expr:
        """True if two values differ as stored in Redis (NULL equals NULL); for dialects that do not hash rows."""
        if kind.equality is not Equality.EXACT:
            one, other = (self.by_code_point(exp.cast(value, "text")) for value in (one, other))
        return exp.NullSafeNEQ(this=one, expression=other)

    @property
    def hash_version(self) -> str:
        """The version of the hash function; hashes of different versions cannot be compared."""
        return self.name

    def stored_json(self, value: exp.Expr) -> exp.Expr:
        """Write a JSON value as the text that the warehouse stores."""
        return exp.cast(value, "text")

    def md5(self, text: exp.Expr) -> exp.Expr:
        """Hash text to 32 lower-case hexadecimal digits."""
        return exp.MD5(this=text)

    def by_code_point(self, text: exp.Expr) -> exp.Expr:
        """Order text by code point, whatever the locale."""
        return text

    def distinguish_equals(self, value: exp.Expr, kind: ValueType) -> list[exp.Expr]:
        """Return terms that order values which the warehouse treats as equal and Redis does not, such as 0.0 and -0.0.

        Empty for types without such values, and for those that are already ordered by their text.
        """
        return [self.by_code_point(exp.cast(value, "text"))] if kind.equality is Equality.LOOSE else []

    def canonical_key(self, key: exp.Expr, kind: ValueType) -> exp.Expr:
        """Normalise a key, so that equal keys have equal text."""
        del kind
        return key

    def distinguish_blanks(self, padded: exp.Expr) -> list[exp.Expr]:
        """Return terms that order blank-padded text by its trailing blanks, where comparisons ignore those."""
        del padded
        return []

    def convert_array(self, value: exp.Expr, item: exp.Identifier, converted: exp.Expr) -> exp.Expr:
        """Convert each item of an array, in order; a null array stays null.

        Args:
            value: The array.
            item: The name of one item in `converted`.
            converted: The expression that converts an item.
        """
        offset = exp.to_identifier("place", quoted=True)
        items = exp.Unnest(
            expressions=[value],
            offset=offset,
            alias=exp.TableAlias(this=exp.to_identifier("items", quoted=True), columns=[item]),
        )
        array = exp.Array(expressions=[exp.select(converted).from_(items).order_by(ascending(exp.column(offset)))])
        return exp.Case(ifs=[exp.If(this=value.copy().is_(exp.null()).not_(), true=array)])

    def any_item(self, value: exp.Expr, item: exp.Identifier, condition: exp.Expr) -> exp.Expr:
        """Test whether a condition holds for any item of an array; `item` is the name of an item in the condition."""
        alias = exp.TableAlias(this=exp.to_identifier("items", quoted=True), columns=[item])
        items = exp.Unnest(expressions=[value], alias=alias)
        return exp.Exists(this=exp.select(exp.Literal.number(1)).from_(items).where(condition))

    def refuse(self, name: str, reason: str, value: exp.Expr) -> exp.Expr:
        """Return a boolean expression whose evaluation fails the query.

        Args:
            name: The name of the column, for the error.
            reason: What is wrong with the value, for the error.
            value: The value on which the expression may depend, so that it is not evaluated early.
        """
        del value
        return call("ERROR", UnfitValue.written(name, reason))

    def layout(self, keys: Sequence[str], *, change: str) -> exp.Properties | None:
        """Return the storage properties of a table of rows: clustered by keys, expiring if it is never dropped.

        Args:
            keys: The join keys.
            change: A column of 0, 1 or 2 by which rows are chosen; without `has_transactions` it is in the table.
        """
        del keys, change
        return None

    def kept(self, table: exp.Table) -> exp.Expr | None:
        """Return the statement that cancels the expiry in a table's layout; None if its layout has no expiry."""
        del table
        return None

    def finished(self, query: exp.Select) -> exp.Select:
        """Add what a whole query needs for the standard meaning, such as settings; may change `query` in place."""
        return query

    def _exact(self, value: exp.Expr, kind: ValueType) -> list[exp.Expr]:
        """Write a value so that only identical ones are equal: as text where the warehouse's equality is looser."""
        return [value] if kind.equality is Equality.EXACT else [exp.cast(value, "text")]

    def _without_zone(self, instant: exp.Expr) -> exp.Expr:
        return exp.AtTimeZone(this=instant, zone=exp.Literal.string("UTC"))

    def _from_zone(self, wall_clock: exp.Expr, timezone: str) -> exp.Expr:
        aware = exp.AtTimeZone(this=wall_clock, zone=exp.Literal.string(timezone))
        return exp.AtTimeZone(this=aware, zone=exp.Literal.string("UTC"))

    def _cast(self, value: exp.Expr) -> exp.Expr:
        return exp.cast(value, self.moment_type)

    def _interval(self, duration: timedelta) -> exp.Interval:
        size, unit = in_units(duration)
        return exp.Interval(this=exp.Literal.string(str(size)), unit=exp.var(unit))


def in_units(duration: timedelta) -> tuple[int, str]:
    """Split a duration into a whole number and the largest unit from DAY to SECOND that divides it."""
    for unit, size in _UNITS:
        if duration % size == timedelta(0):
            return duration // size, unit
    return duration // timedelta(seconds=1), "SECOND"


def call(name: str, *arguments: exp.Expr | str) -> exp.Anonymous:
    """Call a function by the warehouse's own name; arguments of type `str` become literals."""
    return exp.Anonymous(this=name, expressions=[exp.Literal.string(e) if isinstance(e, str) else e for e in arguments])


def if_finite(time: exp.Expr, count: exp.Expr) -> exp.Expr:
    """Return `count` if `time` is finite, otherwise null."""
    return exp.Case(ifs=[exp.If(this=call("ISFINITE", time.copy()), true=count)])


def wall_clock(moment: datetime) -> str:
    """Write an aware moment as UTC without an offset, in microseconds."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
