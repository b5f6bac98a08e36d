"""The expressions that every query over a feature view is made of: which rows can answer, and which is the newest."""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from feature_sync.definitions import FeatureView
from feature_sync.sql.columns import column, is_not_null, named, quoted, table, unused
from feature_sync.sql.times import earlier, later, utc
from feature_sync.sql.types import key_type, value_type
from feature_sync.sql.wire import json_text
from feature_sync.value_types import ValueType, read_default

_WITHOUT_ORDER = ("json", "array", "struct")


class ViewQuery:
    """One feature view as expressions; every moment in them is a naive timestamp in UTC."""

    def __init__(self, view: FeatureView, *, dialect: str, written: str | None = None) -> None:
        """Read the types of all columns in use.

        `dialect` is the warehouse's, whose words the definitions use; `written` the one that the query is for.

        Raises:
            DefinitionError: A type cannot be a key or a feature, or a default does not have its feature's type.
        """
        self.view = view
        self.dialect = dialect
        self.written = written or dialect
        columns, relation = view.relation.columns, view.relation
        self.key_types = {key: key_type(columns[key], relation, dialect=dialect) for key in view.join_keys}
        self.feature_types = {
            feature.name: value_type(columns[feature.name], relation, dialect=dialect) for feature in view.features
        }
        for feature in view.features:
            try:
                read_default(self.feature_types[feature.name], feature.default)
            except ValueError as wrong:
                raise relation.location.at(f"columns.{feature.name}.config.meta.feature.default").error(
                    f"{feature.default!r} is no {self.feature_types[feature.name]}: {wrong}"
                ) from wrong
        taken = {*columns, *(key for key in view.join_keys)}
        self.event_timestamp_name = unused("_event_timestamp", taken)
        self.available_at_name = unused("_available_at", taken)
        self.valid_until_name = unused("_valid_until", taken)
        self.created_name = unused("_created_at", taken)
        self.newness_name = unused("_newness", taken)

    def plain_rows(self) -> exp.Select:
        """Select the rows that can answer: join keys and features under their declared names, and the row's times.

        The times are event timestamp, availability, end of validity and creation, those that the view has.
        """
        view = self.view
        selected = [named(self._column(name), name) for name in (*view.join_keys, *self.feature_types)]
        times = {
            self.event_timestamp_name: self._event_timestamp(),
            self.available_at_name: self._available_at(),
            self.valid_until_name: self._valid_until(),
        }
        if view.created_timestamp is not None:
            times[self.created_name] = self._time(view.created_timestamp)
        selected += [named(moment, name) for name, moment in times.items() if moment is not None]
        return exp.select(*selected).from_(table(view.relation, dialect=self.dialect)).where(*self._can_answer())

    def rows(self, *, newest_first: bool, until: exp.Expr | None = None, across_entities: bool = False) -> exp.Select:
        """Select the rows that can answer, numbered by `newness_name` within each entity.

        With `across_entities` the numbers go on from one entity to the next, so that a number alone finds its row.
        With `until`, only rows that are available then.
        """
        keys = [self._column(key) for key in self.view.join_keys]
        order = self._order(newest_first=newest_first)
        if across_entities:
            order, keys = [*(exp.Ordered(this=key) for key in keys), *order], []
        numbered = exp.Window(this=exp.RowNumber(), partition_by=keys, order=exp.Order(expressions=order))
        rows = self.plain_rows().select(named(numbered, self.newness_name))
        available_at = self._available_at()
        if until is None or available_at is None:
            return rows
        return rows.where(exp.LTE(this=available_at, expression=until))

    def newest_row(self, keys: dict[str, exp.Expr], moment: exp.Expr) -> exp.Select:
        """Select the one newest row of the given keys that is available at a moment, so that an index leads to it."""
        view = self.view
        event_timestamp, begun = str(view.event_timestamp), earlier(moment, view.lag)
        conditions: list[exp.Expr] = [self._column(key).eq(value) for key, value in keys.items()]
        conditions.append(self._not_after(event_timestamp, begun))
        if view.known_at is not None:
            conditions.append(self._not_after(view.known_at, moment.copy()))
        # Null event timestamps are left out above, so the index's own order will do: NULLS LAST would not use it.
        newest = exp.Ordered(this=self._stored_time(event_timestamp), desc=True, nulls_first=True)
        return self.plain_rows().where(*conditions).order_by(newest, *self._order(newest_first=True)[1:]).limit(1)

    def tie_order(self, *, of: str) -> list[exp.Ordered]:
        """Order the `plain_rows` of a step that share keys and event timestamp, the newest first."""
        created = [] if self.view.created_timestamp is None else [quoted(self.created_name, of=of)]
        features = [self._orderable(quoted(name, of=of), kind) for name, kind in self.feature_types.items()]
        return [exp.Ordered(this=term, desc=True, nulls_first=False) for term in (*created, *features)]

    @property
    def has_times(self) -> bool:
        """Whether the view's rows carry an event timestamp."""
        return self.view.event_timestamp is not None

    @property
    def has_end(self) -> bool:
        """Whether the view's rows end by themselves, as a snapshot's do."""
        return self.view.valid_to is not None

    def _column(self, name: str) -> exp.Column:
        return column(self.view.relation, name)

    def _time(self, name: str) -> exp.Expr:
        declared = self.view.relation.columns[name]
        kind = value_type(declared, self.view.relation, dialect=self.dialect)
        if kind.kind not in ("date", "timestamp", "timestamptz"):
            at = self.view.relation.location.at(f"columns.{name}.data_type")
            raise at.error(f"{declared.data_type!r} is no time; cast the column in the model")
        return utc(self._column(name), kind, timezone=self.view.timezone)

    def _stored_time(self, name: str) -> exp.Expr:
        """Read a time as it is stored, where that is in order already and an index may hold it."""
        return self._column(name) if self._is_aware(name) else self._time(name)

    def _is_aware(self, name: str) -> bool:
        return (
            value_type(self.view.relation.columns[name], self.view.relation, dialect=self.dialect).kind == "timestamptz"
        )

    def _not_after(self, name: str, moment: exp.Expr) -> exp.Expr:
        if self._is_aware(name):
            moment = exp.AtTimeZone(this=exp.paren(moment), zone=exp.Literal.string("UTC"))
        return exp.LTE(this=self._stored_time(name), expression=moment)

    def _event_timestamp(self) -> exp.Expr | None:
        return None if self.view.event_timestamp is None else self._time(self.view.event_timestamp)

    def _available_at(self) -> exp.Expr | None:
        event_timestamp = self._event_timestamp()
        if event_timestamp is None:
            return None
        available = later(event_timestamp, self.view.lag)
        if self.view.known_at is None:
            return available
        return exp.Greatest(this=available, expressions=[self._time(self.view.known_at)], ignore_nulls=True)

    def _valid_until(self) -> exp.Expr | None:
        """When a snapshot's row ended, without the lag: null while current, at once where its entity was deleted."""
        view = self.view
        if view.valid_to is None:
            return None
        ends: list[exp.If] = []
        if view.is_deleted is not None:
            mark = exp.Lower(this=exp.cast(self._column(view.is_deleted), "text"))
            ends.append(exp.If(this=mark.eq(exp.Literal.string("true")), true=self._event_timestamp()))
        if view.valid_to_current:
            ends.append(exp.If(this=self._is_current(view.valid_to, view.valid_to_current), true=exp.null()))
        ended = self._time(view.valid_to)
        return exp.Case(ifs=ends, default=ended) if ends else ended

    def _is_current(self, valid_to: str, current: str) -> exp.Expr:
        return exp.EQ(this=self._column(valid_to), expression=exp.paren(exp.maybe_parse(current, dialect=self.dialect)))

    def _can_answer(self) -> list[exp.Expr]:
        """Leave out rows that never answer: a key or a time that bounds them is null, or they ended as they began."""
        view = self.view
        needed = [*view.join_keys, *(name for name in (view.event_timestamp, view.known_at) if name is not None)]
        conditions: list[exp.Expr] = [is_not_null(self._column(name)) for name in needed]
        if view.valid_to is not None and view.event_timestamp is not None:
            lasting: list[exp.Expr] = [self._column(view.valid_to).is_(exp.null())]
            if view.valid_to_current:
                lasting.append(self._is_current(view.valid_to, view.valid_to_current))
            lasting.append(exp.LT(this=self._time(view.event_timestamp), expression=self._time(view.valid_to)))
            conditions.append(exp.or_(*lasting))
        return conditions

    def _order(self, *, newest_first: bool) -> list[exp.Ordered]:
        """Order by event timestamp, known at, created timestamp, then all features; null is the oldest.

        Values alone decide, so the answer never depends on the physical order of rows.
        """
        view = self.view
        times = dict.fromkeys((view.event_timestamp, view.known_at, view.created_timestamp))
        terms = [self._time(name) for name in times if name is not None]
        if view.is_unique and terms:
            terms = terms[:1]
        else:
            terms += [self._orderable(self._column(name), kind) for name, kind in self.feature_types.items()]
        return [exp.Ordered(this=term, desc=newest_first, nulls_first=not newest_first) for term in terms]

    def _orderable(self, stored: exp.Expr, kind: ValueType) -> exp.Expr:
        if kind.kind in _WITHOUT_ORDER:
            stored = json_text(stored, dialect=self.written)
        if kind.kind in ("string", *_WITHOUT_ORDER) and self.written == "postgres":
            return exp.Collate(this=stored, expression=exp.to_identifier("C", quoted=True))
        return stored


def check_entity_types(queries: Iterable[ViewQuery]) -> None:
    """Check that one entity's join keys have the same types in all views: otherwise no key would find them all.

    Raises:
        DefinitionError: They do not; the error names both views.
    """
    first: dict[tuple[str, int], tuple[FeatureView, str, ValueType]] = {}
    for query in queries:
        for entity in query.view.entities:
            for place, key in enumerate(entity.join_keys):
                kind = query.key_types[key]
                other, other_key, other_kind = first.setdefault((entity.name, place), (query.view, key, kind))
                if kind.kind != other_kind.kind:
                    at = query.view.relation.location.at(f"config.meta.feature_view.entities.{entity.name}")
                    raise at.error(
                        f"{key!r} is {kind}, but {other_key!r} of {other.reference} is {other_kind}; an entity has one "
                        "type everywhere: cast one of them in its model"
                    )
