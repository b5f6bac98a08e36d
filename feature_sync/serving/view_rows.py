"""Reads the rows of one selection of a card, without input or output: keys from entities, rows from replies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from feature_sync.errors import OnlineStoreError, RequestError
from feature_sync.online.codec import split_row
from feature_sync.online.keys import is_null_key, key_writer, wire_key
from feature_sync.online.validity import last_answer
from feature_sync.serving.card import CardSelection, types_of
from feature_sync.serving.forms import form_of
from feature_sync.serving.layouts import GONE, UNREADABLE, Layout, Row
from feature_sync.serving.status import Status
from feature_sync.value_types import ValueType

_LEAST, _MOST = -(2**63), 2**63 - 1
_PLAIN_KEYS = {"int64": int, "string": str}
"""Types of keys that are in wire form as callers mostly pass them: integers of 64 bits, and ASCII text."""


class UnknownLayouts(Exception):
    """Rows have schema ids that the card does not list; a push has written their schemas since."""

    def __init__(self, selection: CardSelection, ids: Sequence[bytes]) -> None:
        super().__init__(selection.view)
        self.selection = selection
        self.ids = tuple(ids)


class BadRow(Exception):
    """A row cannot be read; `at` is its position in the request, and `reason` says what is wrong with it."""

    def __init__(self, at: int, reason: str) -> None:
        super().__init__(reason)
        self.at = at
        self.reason = reason


class Judge(msgspec.Struct, frozen=True):
    """The moment at which rows are judged in microseconds since 1970 UTC, and the oldest age in microseconds.

    Args:
        moment: The reader's moment.
        ttl: The oldest age of a row; None for any.
    """

    moment: int
    ttl: int | None

    def refuses(self, event_timestamp: int | None, end: int | None) -> bool:
        """True if a row is too old, or has ended."""
        last = last_answer(event_timestamp, end, self.ttl)
        return last is not None and self.moment > last


class ViewRows:
    """One selection of a card, compiled: writes row keys and reads rows."""

    def __init__(self, selection: CardSelection, *, lenient: bool, faults: Mapping[bytes, str]) -> None:
        """Compile.

        Args:
            selection: The selection of the card.
            lenient: Answer null for what cannot be read, instead of raising.
            faults: Schema ids whose rows cannot be read, and why.
        """
        self._faults = faults
        self.selection = selection
        self.lenient = lenient
        self.features = tuple(each.name for each in selection.features)
        self.key_types = types_of(selection.keys)
        kinds = types_of(tuple((each.name, each.type) for each in selection.features))
        self.kinds: tuple[ValueType, ...] = tuple(kind for _, kind in kinds)
        self.forms = tuple(map(form_of, self.kinds))
        self.defaults = tuple(
            _default(each.default, kind) for each, kind in zip(selection.features, self.kinds, strict=True)
        )
        self.missing: Row = (Status.MISSING, None, *self.defaults)
        self._key_pythons = tuple(_PLAIN_KEYS.get(kind.kind) for _, kind in self.key_types)
        self._write_keys = key_writer(selection.rows, [kind for _, kind in self.key_types])
        self._checks = [(at, form.check) for at, form in enumerate(self.forms, start=2) if form.check is not None]
        self._newest = bytes.fromhex(selection.newest)
        self._layouts = {
            bytes.fromhex(each): Layout(named, selection.features, self.forms)
            for each, named in selection.layouts.items()
        }
        newest = self._layouts[self._newest]
        self._decode, self._pick = newest.decode, newest.pick

    def key(self, entity: Mapping[str, Any]) -> bytes | None:
        """Write the row key of an entity; None if one of its keys is null.

        Raises:
            RequestError: A key is not of the view's type.
        """
        wire: list[Sequence[Any]] = []
        for (name, kind), python in zip(self.key_types, self._key_pythons, strict=True):
            value = entity[name]
            if type(value) is python and (_LEAST <= value <= _MOST if python is int else value.isascii()):
                wire.append((value,))
            elif is_null_key(value):
                return None
            else:
                wire.append((self._wire(name, value, kind),))
        return self._write_keys(wire)[0]

    def keys(self, columns: Mapping[str, Sequence[Any]]) -> list[bytes | None]:
        """Write the row keys of many entities, from a column for each key; None if a key is null.

        Raises:
            RequestError: A key is not of the view's type.
        """
        wire: list[Sequence[Any]] = []
        nulls: set[int] = set()
        for name, kind in self.key_types:
            column = columns[name]
            if _is_wire(column, kind):
                wire.append(column)
                continue
            nulls.update(at for at, value in enumerate(column) if is_null_key(value))
            wire.append([None if at in nulls else self._wire(name, value, kind) for at, value in enumerate(column)])
        if not nulls:
            return [*self._write_keys(wire)]
        kept = [at for at in range(len(wire[0])) if at not in nulls]
        found: list[bytes | None] = [None] * len(wire[0])
        for at, key in zip(kept, self._write_keys([[column[each] for each in kept] for column in wire]), strict=True):
            found[at] = key
        return found

    def _wire(self, name: str, value: Any, kind: ValueType) -> Any:
        try:
            return wire_key(value, kind)
        except ValueError as wrong:
            raise RequestError(f"{name}: {wrong}; {self.selection.view} expects {kind}") from wrong

    def row(self, content: bytes | None, judge: Judge | None) -> Row:
        """Read the row of one entity; see `rows`."""
        if content is None:
            return self.missing
        if judge is None:
            try:
                row = self._decode(content)
            except UNREADABLE:
                pass
            else:
                if row[0] == self._newest:
                    picked: Row = row if self._pick is None else self._pick(row)
                    for at, check in self._checks:
                        try:
                            check((picked[at],))
                        except UNREADABLE:
                            return self._any_row(content, None, 0)
                    return picked
        return self._any_row(content, judge, 0)

    def rows(self, contents: Sequence[bytes | None], judge: Judge | None) -> list[Row]:
        """Read the rows of many entities.

        Args:
            contents: What Redis holds at their keys.
            judge: Judges age and end; None if Redis does, by expiring rows.

        Raises:
            BadRow: A row cannot be read, and the reader is not lenient.
            OnlineStoreError: A row lacks a feature, and the reader is not lenient.
            UnknownLayouts: Rows have schema ids that the card does not list.
        """
        if judge is None and (rows := self.plain_rows(contents)) is not None:
            return rows
        unknown = {each for content in contents if content is not None for each in self._unknown(content)}
        if unknown:
            raise UnknownLayouts(self.selection, sorted(unknown))
        return [self.missing if each is None else self._any_row(each, judge, at) for at, each in enumerate(contents)]

    def plain_rows(self, contents: Sequence[bytes | None]) -> list[Row] | None:
        """Read rows of the newest schema that are all in order, and whose age is not judged; None if one is not."""
        decode, missing = self._decode, None
        try:
            rows = [missing if each is None else decode(each) for each in contents]
            if any(row is not None and row[0] != self._newest for row in rows):
                return None
            pick = self._pick
            if pick is None:
                found = [self.missing if row is None else row for row in rows]
            else:
                found = [self.missing if row is None else pick(row) for row in rows]
            for at, check in self._checks:
                check([row[at] for row in found])
        except UNREADABLE:
            return None
        return found

    def _unknown(self, content: bytes) -> Iterator[bytes]:
        try:
            schema_id, *_ = split_row(content)
        except OnlineStoreError:
            return
        if schema_id not in self._layouts and schema_id not in self._faults:
            yield schema_id

    def _any_row(self, content: bytes, judge: Judge | None, at: int) -> Row:
        """Read a row of any known schema, that may be damaged, lack features, or have ended."""
        try:
            schema_id, event_timestamp, values = split_row(content)
            if fault := self._faults.get(schema_id):
                raise ValueError(fault)
            if schema_id not in self._layouts:
                raise UnknownLayouts(self.selection, [schema_id])
            read, end = self._layouts[schema_id].read(content, values)
            for place, check in self._checks:
                if read[place - 2] is not GONE:
                    check((read[place - 2],))
        except (OnlineStoreError, *UNREADABLE) as wrong:
            if self.lenient:
                return (Status.INVALID, None, *(None for _ in self.features))
            raise BadRow(at, self._reason(content) or str(wrong) or type(wrong).__name__) from wrong
        if judge is not None and judge.refuses(event_timestamp, end):
            return (Status.EXPIRED, event_timestamp, *self.defaults)
        if not self.lenient and GONE in read:
            raise self._gone(schema_id, self.features[read.index(GONE)])
        return (schema_id, event_timestamp, *read)

    def _reason(self, content: bytes) -> str:
        """Say what is wrong with a row; nothing if that is not known."""
        try:
            schema_id, event_timestamp, values = split_row(content)
        except OnlineStoreError as damaged:
            return str(damaged.__cause__)
        return self._faults.get(schema_id) or self._layouts[schema_id].fault(event_timestamp, values)

    def _gone(self, schema_id: bytes, name: str) -> OnlineStoreError:
        feature = next(each for each in self.selection.features if each.name == name)
        now = self._layouts[schema_id].types.get(name)
        what = f"is {now} in Redis and {feature.type} in the card" if now else "is not in the rows in Redis"
        return OnlineStoreError(
            f"{feature.output} {what}: {self.selection.view} was pushed otherwise than its service; push again, or "
            'pass on_error="null"'
        )


def _is_wire(column: Sequence[Any], kind: ValueType) -> bool:
    """True if values of keys are in wire form as they are, nulls excluded: the common case, found at once."""
    if kind.kind == "string":
        return {*map(type, column)} == {str} and "".join(column).isascii()
    return kind.kind == "int64" and {*map(type, column)} == {int} and min(column) >= _LEAST and max(column) <= _MOST


def _default(written: Any, kind: ValueType) -> Any:
    """Read a default of a card, in wire form: numbers that JSON lacks, or that JavaScript rounds, are text."""
    wire = None if kind.scalar is None else kind.scalar.wire
    return wire(written) if wire in (int, float) and written is not None else written
