"""How the rows that answer now differ from those that Redis holds: one full join, by keys."""

from __future__ import annotations

from datetime import datetime

from sqlglot import exp

from feature_sync.sql.columns import is_not_null, named, quoted
from feature_sync.sql.push.latest import row_values, validity_columns
from feature_sync.sql.push.state_schema import PushTables, quoted_name
from feature_sync.sql.validity import still_answers
from feature_sync.sql.view_query import ViewQuery

UNCHANGED, WRITTEN, REMOVED = range(3)
"""What a push does with an entity: the values of `Comparison.change`."""
_FRESH, _KNOWN, _UNCERTAIN, _COMPARED = "fresh", "known", "uncertain", "compared"


class Comparison:
    """The columns of tables of rows and of changes, and the queries that compare them.

    Where a commit names a new table of rows, that table holds the changes as well: in it `change` may be `UNCHANGED`,
    and a removed entity stands without a hash.
    """

    def __init__(self, tables: PushTables, query: ViewQuery) -> None:
        self._tables = tables
        self._query = query
        self._in_place = query.dialect.has_transactions
        self.change, self.was_known, self.was_alive = (
            query.own_name(name) for name in ("_change", "_was_known", "_was_alive")
        )
        self.keys = tuple(query.key_types)
        self.hash = (query.row_hash_name,) if query.dialect.hashes_rows else ()
        self.values = (*validity_columns(query), *query.feature_types, *self.hash)

    @property
    def liveness_columns(self) -> tuple[str, ...]:
        """The columns that `alive` reads."""
        return (self.keys[0], *validity_columns(self._query), *(() if self._in_place else self.hash))

    def alive(self, *, of: str, now: datetime) -> list[exp.Expr]:
        """Return the conditions under which a row exists and still answers at `now`."""
        exists = [is_not_null(quoted(name, of=of)) for name in (self.keys[0], *(() if self._in_place else self.hash))]
        return [*exists, *still_answers(self._query, self._query.dialect.moment(now), of=of)]

    def is_changed(self, *changes: int) -> exp.Expr:
        """Return the condition that a push does one of `changes` with an entity, by which a partition is chosen."""
        return exp.In(this=quoted(self.change), expressions=[exp.Literal.number(change) for change in changes])

    def changes(
        self, fresh: exp.Select, known: exp.Query | exp.Table, uncertain: str | None, *, now: datetime
    ) -> exp.Select:
        """Select the entities whose fresh row differs from the known one, with the fresh row and the `change`.

        Args:
            fresh: Selects the rows that answer at `now`.
            known: The rows that Redis holds.
            uncertain: Change table of an unfinished push; its keys are always selected.
            now: The moment at which rows answer.
        """
        change = exp.Case(ifs=[_if(self._is_removed, REMOVED)], default=exp.Literal.number(WRITTEN))
        compared = self._joined(fresh, known, uncertain, now=now).select(named(change, self.change), copy=False)
        return compared.where(exp.or_(*self._differences(uncertain)), copy=False)

    def every_row(
        self, fresh: exp.Select, known: exp.Query | exp.Table, uncertain: str | None, *, now: datetime
    ) -> exp.Select:
        """Select all entities with the `change`; of unchanged ones only what is counted, or compared by the next push.

        Their features are null, which takes no bytes, so that they are read nowhere else than in the view.

        Args:
            fresh: Selects the rows that answer at `now`.
            known: The rows that Redis holds.
            uncertain: Change table of an unfinished push; its keys always count as changed.
            now: The moment at which rows answer.
        """
        ifs = [_if(self._is_removed, REMOVED), _if(exp.or_(*self._differences(uncertain)), WRITTEN)]
        change = exp.Case(ifs=ifs, default=exp.Literal.number(UNCHANGED))
        compared = self._joined(fresh, known, uncertain, now=now).select(named(change, self.change), copy=False)

        def if_changed(name: str) -> exp.Expr:
            changed = exp.If(this=self.is_changed(WRITTEN, REMOVED), true=quoted(name))
            return named(exp.Case(ifs=[changed]), name)

        kept = (*self.keys, *validity_columns(self._query), *self.hash, self.change, self.was_alive)
        columns = [*map(quoted, kept), *map(if_changed, (*self._query.feature_types, self.was_known))]
        return exp.select(*columns).from_(compared.subquery(quoted_name(_COMPARED), copy=False), copy=False)

    def known_rows(self, name: str) -> exp.Query | exp.Table:
        """Refer to what a comparison reads of a table of rows that Redis holds."""
        table = self._tables.table(name)
        if self._in_place:
            return table
        columns = (*self.keys, *validity_columns(self._query), *self.hash)
        held = [is_not_null(quoted(column)) for column in self.hash]
        return exp.select(*map(quoted, columns)).from_(table).where(*held)

    def _joined(
        self, fresh: exp.Select, known: exp.Query | exp.Table, uncertain: str | None, *, now: datetime
    ) -> exp.Select:
        """Select keys, the fresh values, and whether Redis held the entity and it still answered."""
        joins: dict[str, exp.Query | exp.Table] = {_KNOWN: known}
        if uncertain is not None:
            unsure = exp.select(*map(quoted, self.keys)).from_(self._tables.table(uncertain))
            joins[_UNCERTAIN] = unsure if self._in_place else unsure.where(self.is_changed(WRITTEN, REMOVED))
        sides = [_FRESH, *joins]
        was_alive = exp.paren(exp.and_(*self.alive(of=_KNOWN, now=now)))
        selected: list[exp.Expr] = [named(_first_of(key, sides), key) for key in self.keys]
        selected += [quoted(name, of=_FRESH) for name in self.values]
        selected += [
            named(exp.paren(is_not_null(quoted(self.keys[0], of=_KNOWN))), self.was_known),
            named(exp.Coalesce(this=was_alive, expressions=[exp.false()]), self.was_alive),
        ]
        compared = exp.select(*selected).from_(fresh.subquery(quoted_name(_FRESH)))
        # Full joins: a key may be missing on any side, so each side is joined on the first key that is not null.
        for at, (side, rows) in enumerate(joins.items(), 1):
            same = [_first_of(key, sides[:at]).eq(quoted(key, of=side)) for key in self.keys]
            aliased = (
                rows.subquery(quoted_name(side))
                if isinstance(rows, exp.Query)
                else exp.alias_(rows, quoted_name(side), table=True)
            )
            compared = compared.join(aliased, on=exp.and_(*same), join_type="full")
        return compared

    @property
    def _is_removed(self) -> exp.Expr:
        return quoted(self.keys[0], of=_FRESH).is_(exp.null())

    def _differences(self, uncertain: str | None) -> list[exp.Expr]:
        """Return the conditions under which an entity must be sent: any of them."""
        differences = [self._is_removed, quoted(self.keys[0], of=_KNOWN).is_(exp.null())]
        if self.hash:
            fresh, known = (quoted(self._query.row_hash_name, of=side) for side in (_FRESH, _KNOWN))
            differences.append(exp.NEQ(this=fresh, expression=known))
        else:
            sides = zip(row_values(self._query, of=_FRESH), row_values(self._query, of=_KNOWN), strict=True)
            differences += [self._query.dialect.differ(fresh, known, kind) for (fresh, kind), (known, _) in sides]
        if uncertain is not None:
            differences.append(is_not_null(quoted(self.keys[0], of=_UNCERTAIN)))
        return differences


def _if(condition: exp.Expr, change: int) -> exp.If:
    return exp.If(this=condition, true=exp.Literal.number(change))


def _first_of(key: str, sides: list[str]) -> exp.Expr:
    """Return a join key of the first side that has it."""
    first, *others = [quoted(key, of=side) for side in sides]
    return exp.Coalesce(this=first, expressions=others) if others else first
