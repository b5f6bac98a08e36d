"""The columns of one feature view as expressions: their types, and the times of its rows in UTC."""

from __future__ import annotations

from sqlglot import exp

from feature_sync.definitions import Feature, FeatureView
from feature_sync.errors import Findings
from feature_sync.sql.columns import column, quoted
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.types import key_type, plain_time, value_type
from feature_sync.value_types import ValueType, read_default

UNKNOWN = ValueType("json")
"""Placeholder for a type that could not be read, until the finding is reported."""


class ViewColumns:
    """The columns of a view as a dialect reads them; every moment is a naive timestamp in UTC."""

    def __init__(self, view: FeatureView, *, dialect: Dialect, native: Dialect, findings: Findings | None) -> None:
        """Read the types of all columns in use.

        Args:
            view: The view.
            dialect: The dialect of the query.
            native: The dialect of the warehouse, in which the view declares its types.
            findings: Collects wrong types instead of raising; queries over such columns must not be used.

        Raises:
            DefinitionError: A type cannot be a key, a time or a feature, or a default does not have its feature's type.
        """
        self.view = view
        self.dialect = dialect
        self.native = native
        columns, relation = view.relation.columns, view.relation
        found = Findings() if findings is None else findings
        self.key_types = {
            key: found.attempt(UNKNOWN, key_type, columns[key], relation, dialect=native) for key in view.join_keys
        }
        self.feature_types = {each.name: found.attempt(UNKNOWN, self._feature_type, each) for each in view.features}
        for name in filter(None, (view.event_timestamp, view.valid_to, view.known_at, view.created_timestamp)):
            found.attempt(None, self.time, name)
        if findings is None:
            found.raise_errors()
        self.is_unique = view.is_unique and not any(map(self._is_coarsened, (*view.join_keys, view.event_timestamp)))
        """True if no two rows have the same keys and event timestamp as a query reads them."""

    def column(self, name: str) -> exp.Expr:
        """Refer to a column; timestamps are cast to microseconds."""
        return plain_time(column(self.view.relation, name), self.view.relation.columns.get(name), dialect=self.native)

    def stored_name(self, name: str) -> str:
        """Return the exact name of a column in the warehouse."""
        return self.view.relation.columns[name].stored_as or self.native.fold(name)

    def kind(self, name: str) -> ValueType:
        """Return the type of a column.

        Raises:
            DefinitionError: The type is not in the closed list.
        """
        return value_type(self.view.relation.columns[name], self.view.relation, dialect=self.native)

    def time(self, name: str) -> exp.Expr:
        """Convert a column to a moment in UTC.

        Raises:
            DefinitionError: The column does not hold times.
        """
        declared, kind = self.view.relation.columns[name], self.kind(name)
        if not kind.is_time:
            at = self.view.relation.location.at(f"columns.{name}.data_type")
            raise at.error(f"{declared.data_type!r} is not a time; cast the column in the model")
        return self.dialect.utc(self.column(name), kind, timezone=self.view.timezone)

    def stored_time(self, name: str) -> exp.Expr:
        """Refer to a time as stored if an index on the column orders it (timestamptz); otherwise as a moment in UTC."""
        return self.column(name) if self.kind(name).kind == "timestamptz" else self.time(name)

    def not_after(self, name: str, moment: exp.Expr) -> exp.Expr:
        """Compare a time as stored with a moment, inclusive, so that an index on the column applies."""
        return exp.LTE(this=self.stored_time(name), expression=self.dialect.stored(moment, self.kind(name)))

    def event_timestamp(self) -> exp.Expr | None:
        """Return when a row was complete; None if the view has no event timestamp."""
        return None if self.view.event_timestamp is None else self.time(self.view.event_timestamp)

    def available_at(self) -> exp.Expr | None:
        """Return when a row can first answer: the later of event timestamp plus lag, and `known_at`.

        None if the view has no event timestamp.
        """
        event_timestamp = self.event_timestamp()
        if event_timestamp is None:
            return None
        available = self.dialect.later(event_timestamp, self.view.lag)
        if self.view.known_at is None:
            return available
        return exp.Greatest(this=available, expressions=[self.time(self.view.known_at)], ignore_nulls=True)

    def valid_until(self) -> exp.Expr | None:
        """Return when a snapshot's row ended, without the lag; None if the view has no `valid_to`.

        The value is null while the row is current, and the row's beginning if it marks its entity as deleted.
        """
        view = self.view
        if view.valid_to is None:
            return None
        ends: list[exp.If] = []
        if view.is_deleted is not None:
            mark = exp.Lower(this=exp.cast(self.column(view.is_deleted), "text"))
            ends.append(exp.If(this=mark.eq(exp.Literal.string("true")), true=self.event_timestamp()))
        if view.valid_to_current:
            ends.append(exp.If(this=self.is_current(view.valid_to, view.valid_to_current), true=exp.null()))
        ended = self.time(view.valid_to)
        return exp.Case(ifs=ends, default=ended) if ends else ended

    def is_current(self, valid_to: str, current: str) -> exp.Expr:
        """True if a snapshot's end equals what dbt writes for a current row; `current` is that SQL expression."""
        written: exp.Expr = exp.maybe_parse(current, dialect=self.native.name)
        return exp.EQ(this=self.column(valid_to), expression=exp.paren(written))

    def _feature_type(self, feature: Feature) -> ValueType:
        relation = self.view.relation
        kind = value_type(relation.columns[feature.name], relation, dialect=self.native)
        try:
            read_default(kind, feature.default)
        except ValueError as wrong:
            at = relation.location.at(f"columns.{feature.name}.config.meta.feature.default")
            raise at.error(f"{feature.default!r} is not of type {kind}: {wrong}") from wrong
        return kind

    def _is_coarsened(self, name: str | None) -> bool:
        """True if values that differ in the table may be equal in a query, such as nanoseconds read as microseconds."""
        if name is None:
            return False
        stored = quoted(name)
        return plain_time(stored, self.view.relation.columns.get(name), dialect=self.native) is not stored
