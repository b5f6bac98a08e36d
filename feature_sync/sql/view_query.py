"""The expressions that every query over a feature view is made of: which rows can answer, and which is the newest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlglot import exp

from feature_sync.definitions import Feature, FeatureView, Period
from feature_sync.errors import Findings
from feature_sync.sql.columns import ascending, column, descending, is_not_null, named, quoted, table, unused
from feature_sync.sql.dialects import dialect_named
from feature_sync.sql.scalars import orderable
from feature_sync.sql.types import is_padded, key_type, plain_time, value_type
from feature_sync.value_types import ValueType, moved, read_default, seen_in

_DAY = timedelta(days=1)
_UNKNOWN = ValueType("json")  # stands for a type that could not be read, until that is told


class ViewQuery:
    """One feature view as expressions; every moment in them is a naive timestamp in UTC."""

    def __init__(
        self,
        view: FeatureView,
        *,
        adapter: str,
        dialect: str | None = None,
        asked: Period | None = None,
        mistakes: Findings | None = None,
    ) -> None:
        """Read the types of all columns in use.

        `adapter` is the warehouse, whose words the definitions use; `dialect` the one that the query is for, if
        another. Rows that cannot answer any moment `asked` are left out by bounds on the event timestamp as it is
        stored, so that the warehouse need not read them. With `mistakes`, wrong types are noted there; of what they
        touch no query can be made.

        Raises:
            DefinitionError: A type cannot be a key, a time or a feature, or a default does not have its feature's type.
        """
        self.view = view
        self.adapter = adapter
        self.dialect = dialect_named(dialect or adapter)
        self._asked = asked or Period()
        columns, relation = view.relation.columns, view.relation
        found = Findings() if mistakes is None else mistakes
        self.key_types = {
            key: found.attempt(_UNKNOWN, key_type, columns[key], relation, dialect=adapter) for key in view.join_keys
        }
        self.feature_types = {each.name: found.attempt(_UNKNOWN, self._feature_type, each) for each in view.features}
        for name in filter(None, (view.event_timestamp, view.valid_to, view.known_at, view.created_timestamp)):
            found.attempt(None, self._time, name)
        if mistakes is None:
            found.check()
        self.is_unique = view.is_unique and not any(map(self._is_coarsened, (*view.join_keys, view.event_timestamp)))
        """True if no two rows share keys and event timestamp as this query reads them."""
        self._taken = {*columns, *(key for key in view.join_keys)}
        self.event_timestamp_name = self.own_name("_event_timestamp")
        self.available_at_name = self.own_name("_available_at")
        self.valid_until_name = self.own_name("_valid_until")
        self.created_name = self.own_name("_created_at")
        self.known_at_name = self.own_name("_known_at")
        self.newness_name = self.own_name("_newness")
        self.row_hash_name = self.own_name("_row_hash")

    def _feature_type(self, feature: Feature) -> ValueType:
        relation = self.view.relation
        kind = value_type(relation.columns[feature.name], relation, dialect=self.adapter)
        try:
            read_default(kind, feature.default)
        except ValueError as wrong:
            at = relation.location.at(f"columns.{feature.name}.config.meta.feature.default")
            raise at.error(f"{feature.default!r} is no {kind}: {wrong}") from wrong
        return kind

    def _is_coarsened(self, name: str | None) -> bool:
        """True if values that differ in the table may be equal here: nanoseconds are read as microseconds."""
        if name is None:
            return False
        stored = quoted(name)
        return plain_time(stored, self.view.relation.columns.get(name), dialect=self.adapter) is not stored

    def own_name(self, name: str) -> str:
        """Find a name near the wanted one that no column of the view has."""
        return unused(name, self._taken)

    def plain_rows(
        self, features: Iterable[str] | None = None, *, until: exp.Expr | None = None, decisive: bool = False
    ) -> exp.Select:
        """Select the rows that can answer: join keys and features under their declared names, and the row's times.

        The features are all that the view has, unless named: who sets ties apart by `tie_order` needs them all. The
        times are event timestamp, availability, end of validity and creation, those that the view has; `decisive`
        adds `known_at`, so that all by which rows are ordered is there. With `until`, only rows available then.
        """
        view = self.view
        chosen = tuple(self.feature_types) if features is None else tuple(features)
        selected = [named(self._column(name), name) for name in (*view.join_keys, *chosen)]
        times = (
            self.times if decisive else {name: each for name, each in self.times.items() if name != self.known_at_name}
        )
        selected += [named(moment, name) for name, moment in times.items()]
        rows = exp.select(*selected).from_(table(view.relation, dialect=self.adapter)).where(*self._can_answer())
        available_at = self._available_at()
        if until is None or available_at is None:
            return rows
        return rows.where(exp.LTE(this=available_at, expression=until))

    @property
    def times(self) -> dict[str, exp.Expr]:
        """The times of a row by the names that `plain_rows` gives them, those that the view has."""
        view = self.view
        times = {
            self.event_timestamp_name: self._event_timestamp(),
            self.available_at_name: self._available_at(),
            self.valid_until_name: self._valid_until(),
            self.known_at_name: None if view.known_at is None else self._time(view.known_at),
            self.created_name: None if view.created_timestamp is None else self._time(view.created_timestamp),
        }
        return {name: moment for name, moment in times.items() if moment is not None}

    def rows(
        self,
        *,
        newest_first: bool,
        features: Iterable[str] | None = None,
        until: exp.Expr | None = None,
        across_entities: bool = False,
    ) -> exp.Select:
        """Select the rows that can answer, numbered by `newness_name` within each entity.

        With `across_entities` the numbers go on from one entity to the next, so that a number alone finds its row.
        With `until`, only rows that are available then.
        """
        keys = [self._column(key) for key in self.view.join_keys]
        order = self._order(newest_first=newest_first)
        if across_entities:
            order, keys = [*map(ascending, keys), *order], []
        numbered = exp.Window(this=exp.RowNumber(), partition_by=keys, order=exp.Order(expressions=order))
        return self.plain_rows(features, until=until).select(named(numbered, self.newness_name))

    def newest_rows(self, *, until: exp.Expr) -> exp.Select:
        """Select the newest of the rows of each entity that are available at a moment."""
        keys = [self._column(key) for key in self.view.join_keys]
        if self.dialect.has_distinct_on:
            in_order = [*(ascending(key.copy()) for key in keys), *self._order(newest_first=True)]
            return self.plain_rows(until=until).distinct(*keys).order_by(*in_order)
        rows = self.rows(newest_first=True, until=until).subquery(exp.to_identifier("numbered", quoted=True))
        columns = (*self.view.join_keys, *self.feature_types, *self.times)
        shown = [quoted(name) for name in columns if name != self.known_at_name]
        return exp.select(*shown).from_(rows).where(quoted(self.newness_name).eq(1))

    def newest_row(self, keys: dict[str, exp.Expr], moment: exp.Expr, *, features: Iterable[str]) -> exp.Select:
        """Select the one newest row of the given keys that is available at a moment, so that an index leads to it."""
        view = self.view
        event_timestamp, begun = str(view.event_timestamp), self.dialect.earlier(moment, view.lag)
        conditions: list[exp.Expr] = [self._column(key).eq(value) for key, value in keys.items()]
        conditions.append(self._not_after(event_timestamp, begun))
        if view.known_at is not None:
            conditions.append(self._not_after(view.known_at, moment.copy()))
        # Null event timestamps are left out above, so the index's own order will do: NULLS LAST would not use it.
        newest = descending(self._stored_time(event_timestamp), nulls_first=True)
        return (
            self.plain_rows(features).where(*conditions).order_by(newest, *self._order(newest_first=True)[1:]).limit(1)
        )

    def tie_order(self, *, of: str) -> list[exp.Ordered]:
        """Order the `plain_rows` of a step that share keys and event timestamp, the newest first."""
        created = [] if self.view.created_timestamp is None else [quoted(self.created_name, of=of)]
        features = [
            term
            for name, kind in self.feature_types.items()
            for term in orderable(quoted(name, of=of), kind, self.dialect)
        ]
        order = [descending(term) for term in (*created, *features)]
        ends = [quoted(self.valid_until_name, of=of)] if self.has_end else []
        order += [descending(term, nulls_first=True) for term in ends]
        apart = self._tie_breakers({name: quoted(name, of=of) for name in self.feature_types})
        return [*order, *map(descending, apart)]

    @property
    def has_times(self) -> bool:
        """Whether the view's rows carry an event timestamp."""
        return self.view.event_timestamp is not None

    @property
    def has_end(self) -> bool:
        """Whether the view's rows end by themselves, as a snapshot's do."""
        return self.view.valid_to is not None

    def _column(self, name: str) -> exp.Expr:
        return plain_time(column(self.view.relation, name), self.view.relation.columns.get(name), dialect=self.adapter)

    def _time(self, name: str) -> exp.Expr:
        declared, kind = self.view.relation.columns[name], self._kind(name)
        if not kind.is_time:
            at = self.view.relation.location.at(f"columns.{name}.data_type")
            raise at.error(f"{declared.data_type!r} is no time; cast the column in the model")
        return self.dialect.utc(self._column(name), kind, timezone=self.view.timezone)

    def _kind(self, name: str) -> ValueType:
        return value_type(self.view.relation.columns[name], self.view.relation, dialect=self.adapter)

    def _stored_time(self, name: str) -> exp.Expr:
        """Read a time as it is stored, where that is in order already and an index may hold it."""
        return self._column(name) if self._kind(name).kind == "timestamptz" else self._time(name)

    def _not_after(self, name: str, moment: exp.Expr) -> exp.Expr:
        return exp.LTE(this=self._stored_time(name), expression=self.dialect.stored(moment, self._kind(name)))

    def _within_reach(self) -> list[exp.Expr]:
        """Bound the event timestamp by literals of its own type: no later row is available, no earlier one is alive."""
        view, asked = self.view, self._asked
        if view.event_timestamp is None:
            return []
        stored, kind = self._column(view.event_timestamp), self._kind(view.event_timestamp)
        bounds: list[exp.Expr] = []
        earliest = None if view.ttl is None else self._bound(asked.since, -view.ttl, kind, -_DAY)
        if earliest is not None:
            bounds.append(exp.GTE(this=stored, expression=earliest))
        latest = self._bound(asked.until, -(view.lag or timedelta(0)), kind, _DAY)
        if latest is not None:
            bounds.append(exp.LTE(this=stored.copy(), expression=latest))
        return bounds

    def _bound(
        self, asked: datetime | None, distance: timedelta, kind: ValueType, margin: timedelta
    ) -> exp.Expr | None:
        """Write a bound; with a day's margin for dates, and for clocks which are turned back and so run twice.

        None beyond the years 1 to 9999: what is left out by no bound is judged by the join all the same.
        """
        if asked is None:
            return None
        is_clock = kind.kind != "timestamptz" and (kind.kind == "date" or self.view.timezone.upper() != "UTC")
        moment = moved(asked, distance, margin if is_clock else timedelta(0))
        if moment is not None and is_clock:
            moment = seen_in(moment, ZoneInfo(self.view.timezone))
        return None if moment is None else self.dialect.literal(moment, kind)

    def _event_timestamp(self) -> exp.Expr | None:
        return None if self.view.event_timestamp is None else self._time(self.view.event_timestamp)

    def _available_at(self) -> exp.Expr | None:
        event_timestamp = self._event_timestamp()
        if event_timestamp is None:
            return None
        available = self.dialect.later(event_timestamp, self.view.lag)
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
        return exp.EQ(this=self._column(valid_to), expression=exp.paren(exp.maybe_parse(current, dialect=self.adapter)))

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
        if self.dialect.is_null_beyond_time and view.lag:
            # A row that becomes available after the end of time never does; as a null it would come first in line.
            conditions.append(is_not_null(self.dialect.later(self._time(str(view.event_timestamp)), view.lag)))
        return conditions + self._within_reach()

    def _order(self, *, newest_first: bool) -> list[exp.Ordered]:
        """Order by event timestamp, known at, created timestamp, then all features; null is the oldest.

        Of a snapshot's rows that still tie, the one that ends last is the newest; last comes what tells equal values
        apart. Values alone decide, so the answer never depends on the physical order of rows.
        """
        view = self.view
        times = dict.fromkeys((view.event_timestamp, view.known_at, view.created_timestamp))
        terms = [self._time(name) for name in times if name is not None]
        if self.is_unique and terms:
            terms = terms[:1]
        else:
            for name, kind in self.feature_types.items():
                terms += orderable(self._column(name), kind, self.dialect)
        order = [exp.Ordered(this=term, desc=newest_first, nulls_first=not newest_first) for term in terms]
        if self.is_unique:
            return order
        if (valid_until := self._valid_until()) is not None:
            order.append(exp.Ordered(this=valid_until, desc=newest_first, nulls_first=newest_first))
        apart = self._tie_breakers({name: self._column(name) for name in self.feature_types})
        return [*order, *(exp.Ordered(this=term, desc=newest_first, nulls_first=not newest_first) for term in apart)]

    def _tie_breakers(self, features: Mapping[str, exp.Expr]) -> list[exp.Expr]:
        """Tell features apart that are equal to the warehouse alone: see `Dialect.tell_equals_apart`."""
        columns, apart = self.view.relation.columns, []
        for name, stored in features.items():
            apart += self.dialect.tell_equals_apart(stored.copy(), self.feature_types[name])
            if is_padded(columns[name], dialect=self.adapter):
                apart += self.dialect.tell_blanks_apart(stored.copy())
        return apart


def check_entity_types(queries: Iterable[ViewQuery]) -> None:
    """Check that one entity's join keys have the same types in all views: otherwise no key would find them all.

    Raises:
        DefinitionError: They do not; the error names both views.
    """
    mistakes = Findings()
    first: dict[tuple[str, int], tuple[FeatureView, str, ValueType]] = {}
    for query in queries:
        for entity in query.view.entities:
            for place, key in enumerate(entity.join_keys):
                if (kind := query.key_types[key]) is _UNKNOWN:
                    continue
                other, other_key, other_kind = first.setdefault((entity.name, place), (query.view, key, kind))
                if kind.kind != other_kind.kind:
                    at = query.view.relation.location.at(f"config.meta.feature_view.entities.{entity.name}")
                    mistakes.note(
                        at.mistake(
                            f"{key!r} is {kind}, but {other_key!r} of {other.reference} is {other_kind}; an entity has "
                            "one type everywhere: cast one of them in its model"
                        )
                    )
    mistakes.check()
