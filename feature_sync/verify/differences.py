"""Compares rows one by one where the bytes in Redis are not the expected ones, and counts differences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from feature_sync.errors import OnlineStoreError
from feature_sync.online.base import NO_EXPIRY, Held
from feature_sync.online.codec import RowSchema, read_value, split_end, split_row
from feature_sync.online.floats import is_packed, unpack
from feature_sync.online.rows import Row
from feature_sync.online.validity import last_answer
from feature_sync.value_types import ValueType, from_microseconds, to_microseconds
from feature_sync.verify.report import Difference, FeatureCounts, Kind

_MOST_EXAMPLES = 3
"""The most rows of each kind that are kept as examples."""
_MOST_LINES_OF_A_ROW = 5
_MICROSECONDS = 1_000
_Found = tuple[str | None, str, Any, Any]
"""The feature (None: the whole row), what differs, the warehouse's value and Redis's."""


class Differences:
    """Counts of the differences in one view so far; of the rows themselves only a few examples are kept."""

    def __init__(self, schema: RowSchema, schemas: Mapping[bytes, RowSchema], *, redact: bool) -> None:
        """Start with no rows counted.

        Args:
            schema: Row schema of the expected rows.
            schemas: Row schemas that Redis has published for the view, by id.
            redact: Leave values out of examples.
        """
        self._schema = schema
        self._schemas = schemas
        self._redact = redact
        self.counts: Counter[str] = Counter()
        self.matching = self.overdue = self.ahead = self.event_timestamps = self.expiries = 0
        self.examples: list[Difference] = []
        self._differing: Counter[str] = Counter()
        self._lacking: Counter[str] = Counter()
        self._extra: Counter[str] = Counter()

    @property
    def is_published(self) -> bool:
        """True if Redis has the schema of the expected rows, so that readers can read them."""
        return self._schema.id in self._schemas

    def match(self, rows: int) -> None:
        """Count rows that Redis holds byte for byte."""
        self.matching += rows

    def compare(self, row: Row, held: Held, *, redis_now: int) -> bool:
        """Compare an expected row with Redis. Returns whether the key exists.

        Args:
            row: The expected row: Redis key, bytes, and expiry in milliseconds or None.
            held: Value and expiry in Redis.
            redis_now: The time by Redis's clock after `held` was read, in milliseconds since 1970.
        """
        key, content, ends_at = row
        if held.value is None:
            has_ended = ends_at is not None and ends_at < redis_now
            about = "its TTL has just ended" if has_ended else ""
            self._count(Kind.EXPIRED if has_ended else Kind.MISSING, key, (None, about, None, None))
            return False
        found = [*self._of_row(content, held.value)]
        if held.expires_at is not None and held.expires_at != (NO_EXPIRY if ends_at is None else ends_at):
            self.expiries += 1
            found.append((None, "expires", _expiry(ends_at), _expiry(held.expires_at)))
        if found:
            self._count(Kind.DIFFERENT, key, *found)
        else:
            self.matching += 1
        return True

    def compare_extra(self, key: bytes, content: bytes | None, *, now: datetime, due: datetime) -> None:
        """Count a key in Redis that no expected row has.

        Args:
            key: The Redis key.
            content: Its bytes; None if its value is not a string.
            now: A row that is older than its TTL at this moment is expired, not extra.
            due: A row that was expired already at this moment is overdue: it should not be in Redis.
        """
        ended = None if content is None else self._ended(content)
        if ended is None or ended >= to_microseconds(now):
            self._count(Kind.EXTRA, key, (None, "not a string, so not a row" if content is None else "", None, None))
            return
        is_overdue = ended < to_microseconds(due)
        self.overdue += is_overdue
        about = "should have been removed" if is_overdue else "its TTL has ended since"
        self._count(Kind.EXPIRED, key, (None, about, None, None))

    @property
    def features(self) -> dict[str, FeatureCounts]:
        """The counts of each feature, including features that only rows in Redis have."""
        names = dict.fromkeys([*(name for name, _ in self._schema.features), *self._extra])
        rows = self.matching + self.counts[Kind.DIFFERENT]
        ours = {name for name, _ in self._schema.features}
        return {
            name: FeatureCounts(
                matching=(rows - self._differing[name] - self._lacking[name]) if name in ours else 0,
                different=self._differing[name],
                missing=(self.counts[Kind.MISSING] + self._lacking[name]) if name in ours else 0,
                extra=self._extra[name] + (self.counts[Kind.EXTRA] if name in ours else 0),
                expired=self.counts[Kind.EXPIRED] if name in ours else 0,
            )
            for name in names
        }

    def _of_row(self, expected: bytes, content: bytes) -> Iterator[_Found]:
        """Yield what differs in a row, and count it."""
        if expected == content and self.is_published:
            return
        _, event_timestamp, rest = split_row(expected)
        values, end = split_end(rest, self._schema)
        read = self._read(content)
        if isinstance(read, str):
            self._lacking.update(name for name, _ in self._schema.features)
            yield None, read, None, None
            return
        held_timestamp, held_end, held = read
        if event_timestamp != held_timestamp:
            self.event_timestamps += 1
            yield None, "event timestamp", _instant(event_timestamp), _instant(held_timestamp)
        if end != held_end:
            yield None, "ends", _instant(end), _instant(held_end)
        for (name, kind), value in zip(self._schema.features, values, strict=True):
            if name not in held:
                self._lacking[name] += 1
                yield name, "not in the row", _readable(value, kind), None
                continue
            held_kind, held_value = held.pop(name)
            if not _is_same(_plain(value, kind), _plain(held_value, held_kind)):
                self._differing[name] += 1
                yield name, "value", _readable(value, kind), _readable(held_value, held_kind)
        for name, (kind, value) in held.items():
            self._extra[name] += 1
            yield name, "no longer a feature", None, _readable(value, kind)

    def _read(self, content: bytes) -> tuple[int | None, int | None, dict[str, tuple[ValueType, Any]]] | str:
        """Read a row by its own schema: its event timestamp, end and values; else return why no reader can."""
        try:
            schema_id, event_timestamp, values = split_row(content)
        except OnlineStoreError:
            return "cannot be read"
        schema = self._schemas.get(schema_id)
        if schema is None:
            return "of a schema that Redis does not have"
        try:
            values, end = split_end(values, schema)
        except ValueError:
            return "does not fit its schema"
        kinds = {name: (kind, value) for (name, kind), value in zip(schema.features, values, strict=True)}
        return event_timestamp, end, kinds

    def _ended(self, content: bytes) -> int | None:
        """Return the last moment at which a reader takes a row, in microseconds UTC; None if it never ends.

        That is the end of its TTL or of its validity. None also if no reader can read it.
        """
        try:
            schema_id, event_timestamp, values = split_row(content)
            if (schema := self._schemas.get(schema_id)) is None:
                return None
            _, end = split_end(values, schema)
        except (OnlineStoreError, ValueError):
            return None
        return last_answer(event_timestamp, end, schema.ttl_microseconds)

    def _count(self, kind: Kind, key: bytes, *found: _Found) -> None:
        """Count a row, and keep it as an example if it is among the first of its kind."""
        self.counts[kind] += 1
        if self.counts[kind] > _MOST_EXAMPLES:
            return
        text = key.decode(errors="backslashreplace")
        for feature, about, warehouse, redis in found[:_MOST_LINES_OF_A_ROW]:
            values = {} if self._redact else {"warehouse": warehouse, "redis": redis}
            self.examples.append(Difference(kind=kind, key=text, feature=feature, about=about, **values))


def _is_same(value: Any, held: Any) -> bool:
    """True if two values are the same in wire form: 0.0 is not -0.0, 1 is neither 1.0 nor true, but NaN is NaN."""
    if type(value) is not type(held):
        return False
    if isinstance(value, float):
        return repr(value) == repr(held)
    if isinstance(value, dict):
        return value.keys() == held.keys() and all(_is_same(each, held[name]) for name, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return len(value) == len(held) and all(map(_is_same, value, held))
    return bool(value == held)


def _plain(value: Any, kind: ValueType) -> Any:
    """Unpack an array of floats, of which rows of an older push are not packed; one that is damaged stays bytes."""
    if type(value) is not bytes or not is_packed(kind):
        return value
    try:
        return unpack(value, kind)
    except ValueError:
        return value


def _readable(value: Any, kind: ValueType) -> Any:
    """Decode a value; one that does not fit its type stays as it is if it is a scalar, else its text is returned."""
    try:
        return read_value(value, kind)
    except (ArithmeticError, ValueError):
        return value if isinstance(value, bool | int | float | str | bytes) else _text(value)


def _text(value: Any) -> str:
    """Return the `repr` of a value that no warehouse holds; it may be nested too deeply for that."""
    try:
        return repr(value)
    except RecursionError:
        return "nested too deeply"


def _instant(microseconds: int | None) -> datetime | int | None:
    """Decode microseconds UTC; a moment beyond the years of `datetime` stays a number."""
    try:
        return None if microseconds is None else from_microseconds(microseconds)
    except OverflowError:
        return microseconds


def _expiry(milliseconds: int | None) -> datetime | int | None:
    """Decode an expiry in milliseconds; None means never."""
    return None if milliseconds is None or milliseconds == NO_EXPIRY else _instant(milliseconds * _MICROSECONDS)
