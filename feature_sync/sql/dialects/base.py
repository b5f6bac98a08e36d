"""What differs from one SQL to the next, and what most of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from sqlglot import exp

from feature_sync.errors import RequestError, UnfitValue
from feature_sync.sql.columns import ascending
from feature_sync.value_types import Equality, ValueType

_UNITS = (("DAY", timedelta(days=1)), ("HOUR", timedelta(hours=1)), ("MINUTE", timedelta(minutes=1)))


class Dialect(ABC):
    """One warehouse's SQL. sqlglot spells it; what stands here is what sqlglot cannot know.

    Moments are compared as UTC: as wall clocks without a zone (type `moment_type`), so that no session's time zone
    changes an answer, or as instants where the warehouse's own are free of sessions.
    """

    name: ClassVar[str]
    """As sqlglot and dbt's adapters call it."""
    caveat: ClassVar[str | None] = None
    """What a person should know of its queries; None where this package's tests run them on the engine itself."""
    strategies: ClassVar[tuple[str, ...]] = ("carry",)
    """The ways in which it can join, its usual one first."""
    looks_up_by_index: ClassVar[bool] = False
    """Whether an index on keys and time makes looking rows up one by one its fastest way."""
    moment_type: ClassVar[str] = "timestamp"
    naive_type: ClassVar[str] = "timestamp"
    """A wall clock without a zone, to the microsecond."""
    longest_name: ClassVar[int | None] = None
    """How many bytes of a name it keeps, where it cuts longer ones off in silence."""
    number_type: ClassVar[str] = "bigint"
    """The type of a row's number."""
    numbers_across_entities: ClassVar[bool] = False
    """Whether the carry strategy should find a row by its number alone, because the planner misjudges the keys."""
    puts_nan_highest: ClassVar[bool] = True
    """Whether it orders NaN above all numbers; else the order must say so."""
    infinity: ClassVar[str] = "Infinity"
    """The text that becomes an infinite double."""
    has_distinct_on: ClassVar[bool] = False
    """Whether DISTINCT ON picks the first row of each key, cheaper than numbering all rows does."""
    hashes_rows: ClassVar[bool] = True
    """Whether the hash of a pushed row is kept to tell later that it has changed; else all its values are compared."""
    has_transactions: ClassVar[bool] = True
    """Whether several statements can take effect together, and keys can be kept unique."""
    names_by_table: ClassVar[bool] = False
    """Whether a column taken from one of several tables is called by both names unless it is given one."""
    explicit_types: ClassVar[Mapping[exp.DType, str]] = {}
    """What to write for types whose meaning would otherwise be the session's, or whose precision too little."""
    is_null_beyond_time: ClassVar[bool] = False
    """Whether `later` gives null after the last moment that the warehouse knows."""
    materializes: ClassVar[bool] = False
    """Whether a step can be marked as one to evaluate once."""

    has_endless_times: ClassVar[bool] = False
    """Whether dates and timestamps may be infinite, or lie outside the years 1 to 9999."""
    has_numeric_nan: ClassVar[bool] = False
    """Whether a decimal may be NaN or infinite."""
    hides_dimensions: ClassVar[bool] = False
    """Whether an array's type does not tell how many dimensions it has."""

    def fold(self, name: str) -> str:
        """Spell an unquoted name as the warehouse stores it."""
        return name

    def utc(self, moment: exp.Expr, kind: ValueType, *, timezone: str) -> exp.Expr:
        """Turn a date, a naive timestamp of a zone or an aware timestamp into a moment in UTC."""
        if kind.kind == "timestamptz":
            return self._without_zone(moment)
        if kind.kind == "date":
            moment = self._cast(moment)
        return moment if timezone.upper() == "UTC" else self._from_zone(moment, timezone)

    def stored(self, moment: exp.Expr, kind: ValueType) -> exp.Expr:
        """Turn a moment in UTC into an aware timestamp where a column of that type is to be compared with it."""
        if kind.kind != "timestamptz":
            return moment
        return exp.AtTimeZone(this=exp.paren(moment), zone=exp.Literal.string("UTC"))

    def moment(self, moment: datetime) -> exp.Expr:
        """Write an aware moment as a literal."""
        return self._cast(exp.Literal.string(wall_clock(moment)))

    def literal(self, moment: datetime, kind: ValueType) -> exp.Expr:
        """Write a moment as a literal of a column's own type: an instant, a wall clock or a date."""
        if kind.kind == "date":
            return exp.cast(exp.Literal.string(moment.date().isoformat()), "date")
        if kind.kind == "timestamptz":
            return exp.cast(exp.Literal.string(f"{wall_clock(moment)}+00:00"), "timestamptz")
        text = moment.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
        return exp.cast(exp.Literal.string(text), self.naive_type)

    def later(self, moment: exp.Expr, duration: timedelta | None) -> exp.Expr:
        """Move a moment on by a duration."""
        return exp.Add(this=moment, expression=self._interval(duration)) if duration else moment

    def earlier(self, moment: exp.Expr, duration: timedelta | None) -> exp.Expr:
        """Move a moment back by a duration."""
        return exp.Sub(this=moment, expression=self._interval(duration)) if duration else moment

    @abstractmethod
    def microseconds(self, moment: exp.Expr) -> exp.Expr:
        """Count the microseconds of a moment since 1970; null at infinity, where the warehouse knows such times."""

    def days(self, date: exp.Expr) -> exp.Expr:
        """Count the days of a date since 1970; null at infinity, where the warehouse knows such dates."""
        epoch = exp.cast(exp.Literal.string("1970-01-01"), "date")
        return exp.cast(exp.Sub(this=date, expression=epoch), "bigint")

    def json_text(self, value: exp.Expr) -> exp.Expr:
        """Write a value as JSON text; null stays null."""
        return exp.cast(exp.Anonymous(this="TO_JSON", expressions=[value]), "text")

    def ordered_text(self, value: exp.Expr, kind: ValueType) -> exp.Expr:
        """Write a value of a type without an order as the JSON text that orders it; null stays null."""
        del kind
        return self.json_text(value)

    def row_hash(self, values: Iterable[tuple[exp.Expr, ValueType]]) -> exp.Expr:
        """Hash a row to a number of 64 bits; rows that Redis would hold differently have different hashes.

        Sums of such hashes tell tables apart as well: they are not sums of what the columns contribute.

        Raises:
            RequestError: Nothing can be pushed from this warehouse.
        """
        del values
        raise RequestError(f"nothing can be pushed from {self.name}")

    def differ(self, one: exp.Expr, other: exp.Expr, kind: ValueType) -> exp.Expr:
        """Tell two values apart that Redis would hold differently; null is like null. For rows without a hash."""
        if kind.equality is not Equality.EXACT:
            one, other = (self.by_code_point(exp.cast(value, "text")) for value in (one, other))
        return exp.NullSafeNEQ(this=one, expression=other)

    @property
    def hash_version(self) -> str:
        """What the hashes depend on beside the row: those of another version cannot be compared."""
        return self.name

    def stored_json(self, value: exp.Expr) -> exp.Expr:
        """Write a JSON value as the text that the warehouse keeps."""
        return exp.cast(value, "text")

    def md5(self, text: exp.Expr) -> exp.Expr:
        """Hash text to 32 hexadecimal digits, in lower case."""
        return exp.MD5(this=text)

    def by_code_point(self, text: exp.Expr) -> exp.Expr:
        """Order text by code point, whatever the locale."""
        return text

    def tell_equals_apart(self, value: exp.Expr, kind: ValueType) -> list[exp.Expr]:
        """Return what orders values that the warehouse calls equal and Redis holds differently, such as 0.0 and -0.0.

        Nothing for types without such values, and for those that are ordered by their text already.
        """
        return [self.by_code_point(exp.cast(value, "text"))] if kind.equality is Equality.LOOSE else []

    def canonical_key(self, key: exp.Expr, kind: ValueType) -> exp.Expr:
        """Write equal keys alike."""
        del kind
        return key

    def tell_blanks_apart(self, padded: exp.Expr) -> list[exp.Expr]:
        """Return what orders blank-padded text that differs in its last blanks alone, where these are ignored."""
        del padded
        return []

    def convert_array(self, value: exp.Expr, item: exp.Identifier, converted: exp.Expr) -> exp.Expr:
        """Convert each item of an array; `converted` is what becomes of `item`."""
        place = exp.to_identifier("place", quoted=True)
        items = exp.Unnest(
            expressions=[value],
            offset=place,
            alias=exp.TableAlias(this=exp.to_identifier("items", quoted=True), columns=[item]),
        )
        array = exp.Array(expressions=[exp.select(converted).from_(items).order_by(ascending(exp.column(place)))])
        return exp.Case(ifs=[exp.If(this=value.copy().is_(exp.null()).not_(), true=array)])

    def any_item(self, value: exp.Expr, item: exp.Identifier, condition: exp.Expr) -> exp.Expr:
        """Test whether a condition holds for any item of an array."""
        items = exp.Unnest(
            expressions=[value], alias=exp.TableAlias(this=exp.to_identifier("items", quoted=True), columns=[item])
        )
        return exp.Exists(this=exp.select(exp.Literal.number(1)).from_(items).where(condition))

    def refuse(self, name: str, reason: str, value: exp.Expr) -> exp.Expr:
        """End the query where this is evaluated, and say why; it stands in place of a condition on the value."""
        del value
        return call("ERROR", UnfitValue.written(name, reason))

    def layout(self, keys: Sequence[str]) -> exp.Properties | None:
        """Say how a table of a push is stored: found by its join keys, and gone some day should nobody drop it."""
        del keys
        return None

    def kept(self, table: exp.Table) -> exp.Expr | None:
        """Write the statement that lets a table stay until it is dropped, where its layout lets it go by itself."""
        del table
        return None

    def finished(self, query: exp.Select) -> exp.Select:
        """Add what a whole query needs for its joins to mean what they mean elsewhere."""
        return query

    def _exact(self, value: exp.Expr, kind: ValueType) -> list[exp.Expr]:
        """Write a value so that it is told from all others: as text where the warehouse calls different ones equal."""
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


def last_reading(
    clock: exp.Expr,
    read: Callable[[exp.Expr], exp.Expr],
    shown: Callable[[exp.Expr], exp.Expr],
    moved: Callable[[exp.Expr, int], exp.Expr],
) -> exp.Expr:
    """Read a clock of a zone; of a time that comes twice or never, the later reading, whichever one `read` takes.

    A day later and a day earlier, what a clock shows has one reading. That of the day after holds if the clock shows
    just this time then: always, when it has been turned since. Else that of the day before.

    Args:
        clock: What the clock shows, as a moment in UTC.
        read: Turns what a clock of the zone shows into a moment.
        shown: Turns a moment into what a clock of the zone shows.
        moved: Moves a moment on by a number of days of 24 hours.
    """
    by_day_after = moved(read(moved(clock.copy(), 1)), -1)
    by_day_before = moved(read(moved(clock.copy(), -1)), 1)
    holds = exp.EQ(this=shown(by_day_after), expression=clock.copy())
    return exp.Case(ifs=[exp.If(this=holds, true=by_day_after.copy())], default=by_day_before)


def in_units(duration: timedelta) -> tuple[int, str]:
    """Write a duration as a whole number of the largest unit that divides it."""
    for unit, size in _UNITS:
        if duration % size == timedelta(0):
            return duration // size, unit
    return duration // timedelta(seconds=1), "SECOND"


def call(name: str, *arguments: exp.Expr | str) -> exp.Anonymous:
    """Call a function by the warehouse's own name; text becomes a literal."""
    given = [exp.Literal.string(each) if isinstance(each, str) else each for each in arguments]
    return exp.Anonymous(this=name, expressions=given)


def if_finite(time: exp.Expr, count: exp.Expr) -> exp.Expr:
    """Count where a time is finite; else null."""
    return exp.Case(ifs=[exp.If(this=call("ISFINITE", time.copy()), true=count)])


def wall_clock(moment: datetime) -> str:
    """Write an aware moment as a clock in UTC shows it."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
