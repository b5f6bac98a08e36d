"""The statements of a push: its tables in the warehouse, how two answers differ, and the state that names them.

All tables stand in one schema. `state` has a row for each feature view and online store, which holds a revision that
grows with every change, and its content as text. A table of rows holds what `latest_rows` selected once, a table of
changes what differed from that later.
"""

from __future__ import annotations

from datetime import timedelta

from sqlglot import exp

from feature_sync.sql.columns import is_not_null, named, quoted
from feature_sync.sql.latest import values_to_hold
from feature_sync.sql.view_query import ViewQuery

STATE = "state"
_STATE_COLUMNS = {"feature_view": "text", "online_store": "text", "revision": "bigint", "content": "text"}
_FRESH, _KNOWN, _UNCERTAIN = "fresh", "known", "uncertain"


class PushTables:
    """The tables of one schema."""

    def __init__(self, schema: str) -> None:
        self.schema = schema

    def create_state(self, *, is_keyed: bool) -> list[exp.Expr]:
        """Create the schema and the table of states; with a key, where the warehouse keeps one unique."""
        columns = [
            exp.ColumnDef(
                this=_name(column),
                kind=exp.DataType.build(kind),
                constraints=[exp.ColumnConstraint(kind=exp.NotNullColumnConstraint())],
            )
            for column, kind in _STATE_COLUMNS.items()
        ]
        keys = [exp.PrimaryKey(expressions=[_name("feature_view"), _name("online_store")])] if is_keyed else []
        declared = exp.Schema(this=self.table(STATE), expressions=[*columns, *keys])
        return [
            exp.Create(this=exp.Table(db=_name(self.schema)), kind="SCHEMA", exists=True),
            exp.Create(this=declared, kind="TABLE", exists=True),
        ]

    def table(self, name: str) -> exp.Table:
        """Refer to a table."""
        return exp.Table(this=_name(name), db=_name(self.schema))

    def create(self, name: str, rows: exp.Query, layout: exp.Properties | None = None) -> exp.Expr:
        """Create a table from a query."""
        return exp.Create(this=self.table(name), kind="TABLE", expression=rows, properties=layout)

    def drop(self, name: str) -> exp.Expr:
        """Drop a table, should it be there."""
        return exp.Drop(tables=[self.table(name)], kind="TABLE", exists=True)

    def read_state(self, view: str, store: str) -> exp.Select:
        """Select revision and content of one state."""
        return exp.select(quoted("revision"), quoted("content")).from_(self.table(STATE)).where(*_is(view, store))

    def insert_state(self, view: str, store: str, content: str) -> exp.Expr:
        """Insert the first revision of a state."""
        values = [
            exp.Literal.string(view),
            exp.Literal.string(store),
            exp.Literal.number(1),
            exp.Literal.string(content),
        ]
        first = exp.select(*(named(value, name) for name, value in zip(_STATE_COLUMNS, values, strict=True)))
        return exp.insert(first, self.table(STATE), columns=[_name(name) for name in _STATE_COLUMNS])

    def update_state(self, view: str, store: str, revision: int, content: str) -> exp.Expr:
        """Replace a state by its next revision; no row is updated where somebody else has done so."""
        changed = {"revision": exp.Literal.number(revision + 1), "content": exp.Literal.string(content)}
        return exp.Update(
            this=self.table(STATE),
            expressions=[exp.EQ(this=quoted(name), expression=value) for name, value in changed.items()],
            where=exp.Where(this=exp.and_(*_is(view, store), quoted("revision").eq(exp.Literal.number(revision)))),
        )

    def delete_state(self, view: str, store: str) -> exp.Expr:
        """Forget a state."""
        return exp.Delete(this=self.table(STATE), where=exp.Where(this=exp.and_(*_is(view, store))))


class ViewTables:
    """The rows and changes of one feature view."""

    def __init__(self, tables: PushTables, query: ViewQuery) -> None:
        self._tables = tables
        self._query = query
        self.is_removed, self.was_known, self.was_alive = (
            query.own_name(name) for name in ("_is_removed", "_was_known", "_was_alive")
        )
        self._keys = tuple(query.key_types)
        self._values = (query.event_timestamp_name, query.valid_until_name, *query.feature_types, query.row_hash_name)

    @property
    def life(self) -> tuple[str, ...]:
        """The columns by which `alive` tells rows that still answer."""
        return self._keys[0], self._query.event_timestamp_name, self._query.valid_until_name

    def create_rows(self, name: str, fresh: exp.Select) -> list[exp.Expr]:
        """Create a table of rows; indexed by key where that spares a sort whenever it is compared and changed."""
        statements: list[exp.Expr] = [self._tables.create(name, fresh, self._query.dialect.layout(self._keys))]
        if self._query.dialect.looks_up_by_index:
            columns = [exp.Ordered(this=quoted(key), nulls_first=False) for key in self._keys]
            index = exp.Index(table=self._tables.table(name), params=exp.IndexParameters(columns=columns))
            statements.append(exp.Create(this=index, kind="INDEX", unique=True))
        return statements

    def create_changes(self, name: str, changes: exp.Select) -> exp.Expr:
        """Create a table of changes."""
        return self._tables.create(name, changes, self._query.dialect.layout(self._keys))

    def rows(self, name: str) -> exp.Select:
        """Select a table of rows, for `changes` to compare with another."""
        return exp.select(*map(quoted, (*self._keys, *self._values))).from_(self._tables.table(name))

    def keep(self, name: str) -> list[exp.Expr]:
        """Let a table of rows stay until it is dropped."""
        kept = self._query.dialect.kept(self._tables.table(name))
        return [] if kept is None else [kept]

    def changes(
        self, fresh: exp.Select, known: str, uncertain: str | None, *, now: int, are_converted: bool = False
    ) -> exp.Select:
        """Select the keys whose fresh row differs from the known one, with the fresh row.

        `fresh` are the `stored_rows`: most of them are the same, and need not be converted; or a table of rows, which
        `are_converted`. `known` is a table of rows,
        `uncertain` one of changes of which nobody knows whether they arrived: their keys are always selected. A key
        without a fresh row is marked as removed. `now` is in microseconds UTC.
        """
        known_row, fresh_row = quoted(self._keys[0], of=_KNOWN), quoted(self._keys[0], of=_FRESH)
        fresh_hash, known_hash = (quoted(self._query.row_hash_name, of=side) for side in (_FRESH, _KNOWN))
        differs: list[exp.Expr] = [fresh_row.is_(exp.null()), known_row.is_(exp.null())]
        differs.append(exp.NEQ(this=fresh_hash, expression=known_hash))
        joins: dict[str, exp.Query | exp.Table] = {_KNOWN: self._tables.table(known)}
        if uncertain is not None:
            joins[_UNCERTAIN] = exp.select(*map(quoted, self._keys)).from_(self._tables.table(uncertain))
            differs.append(is_not_null(quoted(self._keys[0], of=_UNCERTAIN)))
        sides = [_FRESH, *joins]
        selected: list[exp.Expr] = [named(_first_of(key, sides), key) for key in self._keys]
        held = [quoted(name, of=_FRESH) for name in self._values[:-1]]
        selected += held if are_converted else values_to_hold(self._query, of=_FRESH)
        selected.append(fresh_hash.copy())
        selected += [
            named(exp.paren(fresh_row.is_(exp.null())), self.is_removed),
            named(exp.paren(is_not_null(known_row)), self.was_known),
            named(
                exp.Coalesce(this=exp.paren(exp.and_(*self.alive(of=_KNOWN, now=now))), expressions=[exp.false()]),
                self.was_alive,
            ),
        ]
        changes = exp.select(*selected).from_(fresh.subquery(_name(_FRESH)))
        for at, (side, rows) in enumerate(joins.items(), 1):
            same = [_first_of(key, sides[:at]).eq(quoted(key, of=side)) for key in self._keys]
            aliased = (
                rows.subquery(_name(side)) if isinstance(rows, exp.Query) else exp.alias_(rows, _name(side), table=True)
            )
            changes = changes.join(aliased, on=exp.and_(*same), join_type="full")
        return changes.where(exp.or_(*differs))

    def count_rows(self, name: str, *, now: int) -> exp.Select:
        """Select how many rows a table of rows has, and how many of them are alive."""
        alive = _count(exp.and_(*self.alive(of=name, now=now)))
        return exp.select(exp.Count(this=exp.Star()), alive).from_(self._tables.table(name))

    def summary(self, name: str, *, now: int) -> exp.Select:
        """Select how many rows of a table of rows are alive, and the oldest and newest event timestamp of all."""
        moment = quoted(self._query.event_timestamp_name)
        alive = _count(exp.and_(*self.alive(of=name, now=now)))
        return exp.select(alive, exp.Min(this=moment), exp.Max(this=moment.copy())).from_(self._tables.table(name))

    def some_keys(self, name: str, *, now: int, size: int) -> exp.Select:
        """Select the keys of some rows that are alive."""
        rows = exp.select(*map(quoted, self._keys)).from_(self._tables.table(name))
        return rows.where(*self.alive(of=name, now=now)).limit(size)

    def count_changes(self, changes: str | exp.Select) -> exp.Select:
        """Select how many changes there are; of them removals, those of known and of living rows, and new rows."""
        removed, known, alive = (quoted(name) for name in (self.is_removed, self.was_known, self.was_alive))
        new = exp.and_(exp.not_(removed.copy()), exp.not_(known.copy()))
        counts = (removed.copy(), exp.and_(removed.copy(), known), exp.and_(removed.copy(), alive), new)
        return exp.select(exp.Count(this=exp.Star()), *map(_count, counts)).from_(self._source(changes))

    def rows_to_write(self, source: str | exp.Select, *, of_changes: bool) -> exp.Select:
        """Select the rows of a table or a query, as they are to be sent."""
        columns = (*self._keys, *self._values[:-1])
        rows = exp.select(*map(quoted, columns)).from_(self._source(source))
        return rows.where(exp.not_(quoted(self.is_removed))) if of_changes else rows

    def keys_to_delete(self, name: str) -> exp.Select:
        """Select the keys of a table of changes that have no row any more."""
        return exp.select(*map(quoted, self._keys)).from_(self._tables.table(name)).where(quoted(self.is_removed))

    def apply(self, changes: str, rows: str) -> list[exp.Expr]:
        """Bring a table of rows up to date with changes."""
        same = [quoted(key, of=changes).eq(quoted(key, of=rows)) for key in self._keys]
        changed = exp.select(exp.Literal.number(1)).from_(self._tables.table(changes)).where(*same)
        columns = [_name(name) for name in (*self._keys, *self._values)]
        kept = exp.select(*(quoted(name.name) for name in columns)).from_(self._tables.table(changes))
        return [
            exp.Delete(this=self._tables.table(rows), where=exp.Where(this=exp.Exists(this=changed))),
            exp.insert(kept.where(exp.not_(quoted(self.is_removed))), self._tables.table(rows), columns=columns),
        ]

    def _source(self, source: str | exp.Select) -> exp.Table | exp.Subquery:
        return self._tables.table(source) if isinstance(source, str) else source.subquery(_name("source"))

    def alive(self, *, of: str, now: int) -> list[exp.Expr]:
        """The conditions by which a row still answers at a moment, in microseconds UTC."""
        view = self._query.view
        conditions: list[exp.Expr] = [is_not_null(quoted(self._keys[0], of=of))]
        if view.ttl is not None:
            oldest = exp.Literal.number(now - microseconds(view.ttl))
            conditions.append(exp.GTE(this=quoted(self._query.event_timestamp_name, of=of), expression=oldest))
        if self._query.has_end:
            ended = quoted(self._query.valid_until_name, of=of)
            begun = exp.Literal.number(now - microseconds(view.lag))
            conditions.append(exp.or_(ended.is_(exp.null()), exp.GT(this=ended.copy(), expression=begun)))
        return conditions


def _name(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)


def _is(view: str, store: str) -> list[exp.Expr]:
    """The condition that finds one state."""
    return [quoted("feature_view").eq(exp.Literal.string(view)), quoted("online_store").eq(exp.Literal.string(store))]


def _first_of(key: str, sides: list[str]) -> exp.Expr:
    """A join key of whichever side has it."""
    first, *others = [quoted(key, of=side) for side in sides]
    return exp.Coalesce(this=first, expressions=others) if others else first


def _count(condition: exp.Expr) -> exp.Expr:
    one = exp.Case(ifs=[exp.If(this=condition, true=exp.Literal.number(1))], default=exp.Literal.number(0))
    return exp.cast(exp.Coalesce(this=exp.Sum(this=one), expressions=[exp.Literal.number(0)]), "bigint")


def microseconds(duration: timedelta | None) -> int:
    """Count the microseconds of a duration; none has 0."""
    return (duration or timedelta(0)) // timedelta(microseconds=1)
