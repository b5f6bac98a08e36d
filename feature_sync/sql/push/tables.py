"""The statements of a push: its tables in the warehouse, and how two sets of rows differ.

All tables are in one schema, that of the table of states. A table of rows holds the result of `stored_rows`, a table of
changes how a later result differed from it. Values are converted to wire form only when they are sent.
"""

from __future__ import annotations

from datetime import datetime

from sqlglot import exp

from feature_sync.sql.columns import ascending, is_not_null, named, quoted
from feature_sync.sql.push.digests import BUCKET, bucket_digests, bucket_of, candidates_of, changed_buckets
from feature_sync.sql.push.latest import row_values, stored_rows, validity_columns, values_to_hold, wire_keys
from feature_sync.sql.push.state_schema import PushTables, quoted_name
from feature_sync.sql.validity import still_answers
from feature_sync.sql.view_query import ViewQuery

_FRESH, _KNOWN, _UNCERTAIN = "fresh", "known", "uncertain"


class ViewTables:
    """The rows and changes of one feature view."""

    def __init__(self, tables: PushTables, query: ViewQuery) -> None:
        self._tables = tables
        self._query = query
        self.is_removed, self.was_known, self.was_alive = (
            query.own_name(name) for name in ("_is_removed", "_was_known", "_was_alive")
        )
        self._keys = tuple(query.key_types)
        self._hash = (query.row_hash_name,) if query.dialect.hashes_rows else ()
        self._values = (*validity_columns(query), *query.feature_types, *self._hash)

    @property
    def changes_in_place(self) -> bool:
        """True if the transaction of a commit can update the table of rows; if not, the commit names a new table."""
        return self._query.dialect.has_transactions

    @property
    def liveness_columns(self) -> tuple[str, ...]:
        """The columns that `alive` reads, and the type of its times."""
        return self._keys[0], *validity_columns(self._query), self._query.dialect.moment_type

    @property
    def has_buckets(self) -> bool:
        """True if digests are kept for buckets of entities, so that only buckets in which rows changed are staged."""
        return self._query.dialect.buckets > 1

    def create_digests(self, name: str, *, now: datetime) -> exp.Expr:
        """Create a table of the digests of all buckets."""
        return self._tables.create(name, bucket_digests(self._query, now=now), self._query.dialect.layout([BUCKET]))

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
        if not self._hash:
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
        statements: list[exp.Expr] = [self._tables.create(name, fresh, self._query.dialect.layout(self._keys))]
        if self._query.dialect.looks_up_by_index:
            columns = [ascending(quoted(key)) for key in self._keys]
            index = exp.Index(table=self._tables.table(name), params=exp.IndexParameters(columns=columns))
            statements.append(exp.Create(this=index, kind="INDEX", unique=True))
        return statements

    def create_changes(self, name: str, changes: exp.Select) -> exp.Expr:
        """Create a table of `changes`."""
        return self._tables.create(name, changes, self._query.dialect.layout(self._keys))

    def rows(self, name: str) -> exp.Select:
        """Select a table of rows, for `changes` to compare with another."""
        return exp.select(*map(quoted, (*self._keys, *self._values))).from_(self._tables.table(name))

    def keep(self, name: str) -> list[exp.Expr]:
        """Return the statement that cancels the expiry of a table of rows, if its layout has one."""
        kept = self._query.dialect.kept(self._tables.table(name))
        return [] if kept is None else [kept]

    def changes(
        self,
        fresh: exp.Select,
        known: str,
        uncertain: str | None,
        *,
        now: datetime,
        buckets: exp.Query | None = None,
    ) -> exp.Select:
        """Select the keys whose fresh row differs from the known one, with the fresh row.

        A key without a fresh row is marked as removed.

        Args:
            fresh: Selects the rows that answer at `now`, from the view or a table of rows.
            known: Table of rows that Redis holds.
            uncertain: Change table of an unfinished push; its keys are always selected.
            now: The moment at which rows answer.
            buckets: Selects the buckets to compare, to which `fresh` is limited already; None for all.
        """
        known_row, fresh_row = quoted(self._keys[0], of=_KNOWN), quoted(self._keys[0], of=_FRESH)
        differs = [fresh_row.is_(exp.null()), known_row.is_(exp.null()), *self._differences()]
        joins: dict[str, exp.Query | exp.Table] = {_KNOWN: self._tables.table(known)}
        if buckets is not None:
            joins[_KNOWN] = self.rows(known).where(exp.In(this=self._bucket(), query=buckets.subquery()))
        if uncertain is not None:
            joins[_UNCERTAIN] = exp.select(*map(quoted, self._keys)).from_(self._tables.table(uncertain))
            differs.append(is_not_null(quoted(self._keys[0], of=_UNCERTAIN)))
        sides = [_FRESH, *joins]
        selected: list[exp.Expr] = [named(_first_of(key, sides), key) for key in self._keys]
        selected += [quoted(name, of=_FRESH) for name in self._values]
        selected += [
            named(exp.paren(fresh_row.is_(exp.null())), self.is_removed),
            named(exp.paren(is_not_null(known_row)), self.was_known),
            named(
                exp.Coalesce(this=exp.paren(exp.and_(*self.alive(of=_KNOWN, now=now))), expressions=[exp.false()]),
                self.was_alive,
            ),
        ]
        changes = exp.select(*selected).from_(fresh.subquery(quoted_name(_FRESH)))
        # Full joins: a key may be missing on any side, so each side is joined on the first key that is not null.
        for at, (side, rows) in enumerate(joins.items(), 1):
            same = [_first_of(key, sides[:at]).eq(quoted(key, of=side)) for key in self._keys]
            aliased = (
                rows.subquery(quoted_name(side))
                if isinstance(rows, exp.Query)
                else exp.alias_(rows, quoted_name(side), table=True)
            )
            changes = changes.join(aliased, on=exp.and_(*same), join_type="full")
        return changes.where(exp.or_(*differs))

    def _differences(self) -> list[exp.Expr]:
        """Return the conditions under which a fresh row differs from the known one: any of them."""
        if self._hash:
            fresh, known = (quoted(self._query.row_hash_name, of=side) for side in (_FRESH, _KNOWN))
            return [exp.NEQ(this=fresh, expression=known)]
        sides = zip(row_values(self._query, of=_FRESH), row_values(self._query, of=_KNOWN), strict=True)
        return [self._query.dialect.differ(fresh, known, kind) for (fresh, kind), (known, _) in sides]

    def count_rows(self, name: str, *, now: datetime) -> exp.Select:
        """Select the number of rows in a table of rows, and how many of them still answer at `now`."""
        alive = _count(exp.and_(*self.alive(of=name, now=now)))
        return exp.select(exp.Count(this=exp.Star()), alive).from_(self._tables.table(name))

    def summary(self, name: str, *, now: datetime) -> exp.Select:
        """Select how many rows of a table of rows still answer at `now`, and the oldest and newest event timestamp.

        The timestamps are those of all rows, in microseconds UTC; null if the view has no event timestamp.
        """
        query, alive = self._query, _count(exp.and_(*self.alive(of=name, now=now)))
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
        return rows.where(*self.alive(of=name, now=now)).limit(size)

    def count_changes(self, changes: str | exp.Select) -> exp.Select:
        """Select five numbers: changes, removals, those of known rows, those of rows that still answer, new rows."""
        removed, known, alive = (quoted(name) for name in (self.is_removed, self.was_known, self.was_alive))
        new = exp.and_(exp.not_(removed.copy()), exp.not_(known.copy()))
        counts = (removed.copy(), exp.and_(removed.copy(), known), exp.and_(removed.copy(), alive), new)
        return exp.select(exp.Count(this=exp.Star()), *map(_count, counts)).from_(self._source(changes))

    def rows_to_write(self, source: str | exp.Select, *, of_changes: bool) -> exp.Select:
        """Select the rows of a table or a query in the form in which they are sent; of changes without the removals."""
        columns = [*map(quoted, self._keys), *values_to_hold(self._query)]
        rows = exp.select(*columns).from_(self._source(source))
        return rows.where(exp.not_(quoted(self.is_removed))) if of_changes else rows

    def keys_to_delete(self, name: str) -> exp.Select:
        """Select the keys in a table of changes that are marked as removed."""
        return exp.select(*map(quoted, self._keys)).from_(self._tables.table(name)).where(quoted(self.is_removed))

    def apply(self, changes: str, rows: str) -> list[exp.Expr]:
        """Apply a table of changes to a table of rows: delete all changed keys, then insert the rows not removed."""
        same = [quoted(key, of=changes).eq(quoted(key, of=rows)) for key in self._keys]
        changed = exp.select(exp.Literal.number(1)).from_(self._tables.table(changes)).where(*same)
        columns = [quoted_name(name) for name in (*self._keys, *self._values)]
        kept = exp.select(*(quoted(name.name) for name in columns)).from_(self._tables.table(changes))
        return [
            exp.Delete(this=self._tables.table(rows), where=exp.Where(this=exp.Exists(this=changed))),
            exp.insert(kept.where(exp.not_(quoted(self.is_removed))), self._tables.table(rows), columns=columns),
        ]

    def _source(self, source: str | exp.Select) -> exp.Table | exp.Subquery:
        return self._tables.table(source) if isinstance(source, str) else source.subquery(quoted_name("source"))

    def alive(self, *, of: str, now: datetime) -> list[exp.Expr]:
        """Return the conditions under which a row exists and still answers at `now`."""
        return [
            is_not_null(quoted(self._keys[0], of=of)),
            *still_answers(self._query, self._query.dialect.moment(now), of=of),
        ]


def _first_of(key: str, sides: list[str]) -> exp.Expr:
    """Return a join key of the first side that has it."""
    first, *others = [quoted(key, of=side) for side in sides]
    return exp.Coalesce(this=first, expressions=others) if others else first


def _count(condition: exp.Expr) -> exp.Expr:
    one = exp.Case(ifs=[exp.If(this=condition, true=exp.Literal.number(1))], default=exp.Literal.number(0))
    return exp.cast(exp.Coalesce(this=exp.Sum(this=one), expressions=[exp.Literal.number(0)]), "bigint")
