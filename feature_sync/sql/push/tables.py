"""The statements of a push: its tables in the warehouse, and how two sets of rows differ.

All tables are in one schema, that of the table of states. A table of rows holds the result of `stored_rows`, a table of
changes how a later result differed from it; where a commit names a new table of rows, one table holds both. Values are
converted to wire form only when they are sent.
"""

from __future__ import annotations

from datetime import datetime

from sqlglot import exp

from feature_sync.sql.columns import ascending, named, quoted
from feature_sync.sql.dialects.base import call
from feature_sync.sql.newest_rows import Form, form_of
from feature_sync.sql.push.comparison import REMOVED, WRITTEN, Comparison
from feature_sync.sql.push.digests import BUCKET, bucket_digests, bucket_of, candidates_of, changed_buckets
from feature_sync.sql.push.latest import row_values, stored_rows, values_to_hold, wire_keys
from feature_sync.sql.push.state_schema import PushTables, quoted_name
from feature_sync.sql.view_query import ViewQuery


class ViewTables:
    """The rows and changes of one feature view."""

    def __init__(self, tables: PushTables, query: ViewQuery) -> None:
        self._tables = tables
        self._query = query
        self._comparison = Comparison(tables, query)
        self._keys, self._values = self._comparison.keys, self._comparison.values

    @property
    def changes_in_place(self) -> bool:
        """True if the transaction of a commit can update the table of rows; if not, the commit names a new table."""
        return self._query.dialect.has_transactions

    @property
    def liveness_columns(self) -> tuple[str, ...]:
        """The columns by which rows still answer, and the type of their times."""
        return *self._comparison.liveness_columns, self._query.dialect.moment_type

    @property
    def has_buckets(self) -> bool:
        """True if digests are kept for buckets of entities, so that only buckets in which rows changed are staged."""
        return self._query.dialect.buckets > 1

    def create_digests(self, name: str, *, now: datetime) -> exp.Expr:
        """Create a table of the digests of all buckets."""
        return self._tables.create(name, bucket_digests(self._query, now=now))

    def candidates(self, digests: str) -> exp.Select:
        """Select the number of candidates and their digest from a table of digests."""
        return candidates_of(self._tables.table(digests))

    def changed_buckets(self, fresh: str, known: str, uncertain: str | None) -> exp.Query:
        """Select the buckets of the entities that may have changed.

        Args:
            fresh: Table of the digests now.
            known: Table of the digests of the last push.
            uncertain: Change table of an unfinished push; the buckets of its keys are always selected.
        """
        changed = changed_buckets(self._tables.table(fresh), self._tables.table(known))
        if uncertain is None:
            return changed
        unsure = exp.select(named(self._bucket(), BUCKET)).from_(self._tables.table(uncertain))
        return exp.union(changed, unsure)

    def count_buckets(self, chosen: exp.Query, fresh: str) -> exp.Select:
        """Select how many buckets are chosen, and how many there are in a table of digests."""
        every = exp.select(exp.Count(this=exp.Star())).from_(self._tables.table(fresh))
        return exp.select(exp.Count(this=exp.Star()), every.subquery()).from_(chosen.subquery(quoted_name("chosen")))

    def _bucket(self, *, of: str | None = None) -> exp.Expr:
        return bucket_of(self._query, {key: quoted(key, of=of) for key in self._keys})

    def fresh(self, *, now: datetime, buckets: exp.Query | None = None, depth: float | None = None) -> exp.Select:
        """Select the `stored_rows` at `now`, with their hashes if the dialect hashes rows.

        Args:
            now: The moment.
            buckets: Selects the buckets of the entities to select; None for all entities.
            depth: How many rows an entity has on average, None if unknown.
        """
        chosen = []
        if buckets is not None:
            bucket = bucket_of(self._query, wire_keys(self._query, self._query.key_columns))
            chosen.append(exp.In(this=bucket, query=buckets.subquery()))
        rows = stored_rows(self._query, now=now, chosen=chosen, depth=depth)
        if not self._comparison.hash:
            return rows
        columns = [*map(quoted, self._keys), *(value for value, _ in row_values(self._query))]
        keys = [(quoted(key), kind) for key, kind in self._query.key_types.items()]
        row_hash = self._query.dialect.row_hash([*keys, *row_values(self._query)])
        return exp.select(*columns, named(row_hash, self._query.row_hash_name)).from_(
            rows.subquery(quoted_name("rows"))
        )

    def create_rows(self, name: str, *, now: datetime, depth: float | None = None) -> list[exp.Expr]:
        """Create a table of rows; with an index on the keys if that saves sorting when it is compared and changed."""
        fresh = self.fresh(now=now, depth=depth)
        if not self.changes_in_place:  # all of them are changes, too
            fresh = fresh.select(named(exp.Literal.number(WRITTEN), self._comparison.change), copy=False)
        statements = [*self._join_setting(depth), self._tables.create(name, fresh, self._layout)]
        if self._query.dialect.looks_up_by_index:
            columns = [ascending(quoted(key)) for key in self._keys]
            index = exp.Index(table=self._tables.table(name), params=exp.IndexParameters(columns=columns))
            statements.append(exp.Create(this=index, kind="INDEX", unique=True))
        return statements

    def create_changes(self, name: str, changes: exp.Select, *, depth: float | None) -> list[exp.Expr]:
        """Create a table of `changes` that were selected for the same depth."""
        return [*self._join_setting(depth), self._tables.create(name, changes)]

    def _join_setting(self, depth: float | None) -> list[exp.Expr]:
        """Let the planner hash what is joined, but not until the transaction ends where all rows are sorted anyway.

        It would hash a million sorted rows, since it expects some hundred; that takes twice as long as merging them.
        """
        setting = self._query.dialect.hash_join_setting
        if setting is None:
            return []
        value = "off" if form_of(self._query, depth) is Form.SORTED else "on"
        return [exp.select(call("SET_CONFIG", setting, value, exp.true()))]

    def create_rows_and_changes(self, name: str, known: str, uncertain: str | None, *, now: datetime) -> exp.Expr:
        """Create a table of rows that says of each how it differs: one statement, which reads the view once.

        Args:
            name: The table.
            known: Table of rows that Redis holds.
            uncertain: Table of an unfinished push; the keys of its changes always count as changed.
            now: The moment at which rows answer.
        """
        held = self._comparison.known_rows(known)
        rows = self._comparison.every_row(self.fresh(now=now), held, uncertain, now=now)
        return self._tables.create(name, rows, self._layout)

    @property
    def _layout(self) -> exp.Properties | None:
        return self._query.dialect.layout(self._keys, change=self._comparison.change)

    def keep(self, name: str) -> list[exp.Expr]:
        """Return the statement that cancels the expiry of a table of rows, if its layout has one."""
        kept = self._query.dialect.kept(self._tables.table(name))
        return [] if kept is None else [kept]

    def changes(
        self, fresh: exp.Select, known: str, uncertain: str | None, *, now: datetime, buckets: exp.Query | None = None
    ) -> exp.Select:
        """Select how rows differ from those that Redis holds: see `Comparison.changes`.

        Args:
            fresh: Selects the rows that answer at `now`.
            known: Table of rows that Redis holds.
            uncertain: Change table of an unfinished push; its keys are always selected.
            now: The moment at which rows answer.
            buckets: Selects the buckets to compare, to which `fresh` is limited already; None for all.
        """
        held = self._comparison.known_rows(known)
        if buckets is not None:
            columns = exp.select(*map(quoted, (*self._keys, *self._values))).from_(self._tables.table(known))
            held = columns.where(exp.In(this=self._bucket(), query=buckets.subquery()))
        return self._comparison.changes(fresh, held, uncertain, now=now)

    def count_rows(self, name: str, *, now: datetime) -> exp.Select:
        """Select the number of rows in a table of rows, and how many of them still answer at `now`."""
        alive = _count(exp.and_(*self._comparison.alive(of=name, now=now)))
        return exp.select(exp.Count(this=exp.Star()), alive).from_(self._tables.table(name))

    def summary(self, name: str, *, now: datetime) -> exp.Select:
        """Select how many rows of a table of rows still answer at `now`, and the oldest and newest event timestamp.

        The timestamps are those of all rows, in microseconds UTC; null if the view has no event timestamp.
        """
        query, alive = self._query, _count(exp.and_(*self._comparison.alive(of=name, now=now)))
        moment = quoted(query.event_timestamp_name)
        ends = [query.dialect.microseconds(end(this=moment.copy())) for end in (exp.Min, exp.Max)]
        bounds = ends if query.has_times else [exp.null(), exp.null()]
        return exp.select(alive, *bounds).from_(self._tables.table(name))

    def some_keys(self, name: str, *, now: datetime, size: int) -> exp.Select:
        """Select the keys of up to `size` rows that still answer at `now`, in no particular order.

        Args:
            name: A table of rows.
            now: The moment, in UTC.
            size: How many keys at most.
        """
        rows = exp.select(*map(quoted, self._keys)).from_(self._tables.table(name))
        return rows.where(*self._comparison.alive(of=name, now=now)).limit(size)

    def count_changes(self, changes: str | exp.Select) -> exp.Select:
        """Select five numbers: changes, removals, those of known rows, those of rows that still answer, new rows."""
        compared = self._comparison
        known, alive = quoted(compared.was_known), quoted(compared.was_alive)
        removed, written = compared.is_changed(REMOVED), compared.is_changed(WRITTEN)
        new = exp.and_(written, exp.not_(known.copy()))
        counts = (removed, exp.and_(removed.copy(), known), exp.and_(removed.copy(), alive), new)
        selected = exp.select(exp.Count(this=exp.Star()), *map(_count, counts)).from_(self._source(changes))
        return selected.where(compared.is_changed(WRITTEN, REMOVED))

    def count_were_alive(self, name: str) -> exp.Select:
        """Select how many entities still answered before, from a table of `create_rows_and_changes`."""
        return exp.select(_count(quoted(self._comparison.was_alive))).from_(self._tables.table(name))

    def rows_to_write(self, source: str | exp.Select, *, of_changes: bool) -> exp.Select:
        """Select the rows of a table or a query in the form in which they are sent; of changes without the removals."""
        columns = [*map(quoted, self._keys), *values_to_hold(self._query)]
        rows = exp.select(*columns).from_(self._source(source))
        return rows.where(self._comparison.is_changed(WRITTEN)) if of_changes else rows

    def keys_to_delete(self, name: str) -> exp.Select:
        """Select the keys in a table of changes that are marked as removed."""
        keys = exp.select(*map(quoted, self._keys)).from_(self._tables.table(name))
        return keys.where(self._comparison.is_changed(REMOVED))

    def apply(self, changes: str, rows: str) -> list[exp.Expr]:
        """Apply a table of changes to a table of rows: delete all changed keys, then insert the rows not removed."""
        same = [quoted(key, of=changes).eq(quoted(key, of=rows)) for key in self._keys]
        changed = exp.select(exp.Literal.number(1)).from_(self._tables.table(changes)).where(*same)
        columns = [quoted_name(name) for name in (*self._keys, *self._values)]
        kept = exp.select(*(quoted(name.name) for name in columns)).from_(self._tables.table(changes))
        return [
            exp.Delete(this=self._tables.table(rows), where=exp.Where(this=exp.Exists(this=changed))),
            exp.insert(kept.where(self._comparison.is_changed(WRITTEN)), self._tables.table(rows), columns=columns),
        ]

    def _source(self, source: str | exp.Select) -> exp.Table | exp.Subquery:
        return self._tables.table(source) if isinstance(source, str) else source.subquery(quoted_name("source"))


def _count(condition: exp.Expr) -> exp.Expr:
    one = exp.Case(ifs=[exp.If(this=condition, true=exp.Literal.number(1))], default=exp.Literal.number(0))
    return exp.cast(exp.Coalesce(this=exp.Sum(this=one), expressions=[exp.Literal.number(0)]), "bigint")
