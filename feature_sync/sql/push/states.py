"""The statements about push states: one row for each pair of view and online store, which names their tables.

A row holds a revision, which increases with every change, and its content as text. Where the warehouse does not enforce
keys, a single MERGE changes it: it reads one snapshot and is atomic, and of two that change the same row, one fails.
"""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.columns import named, quoted
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.push.state_schema import PushTables, quoted_name

STATE = "state"
_KEYS = ("feature_view", "online_store")
_VALUES = ("revision", "content")
_TYPES = {"feature_view": "text", "online_store": "text", "revision": "bigint", "content": "text"}
_OLD, _NEW = "old", "new"


class StateTable:
    """The table of states among the tables of pushes."""

    def __init__(self, tables: PushTables, dialect: Dialect) -> None:
        self._tables = tables
        self._table = tables.table(STATE)
        self._dialect = dialect

    def create(self, *, has_schema: bool) -> list[exp.Expr]:
        """Create the state schema and the table if they do not exist; with a primary key if the warehouse enforces it.

        `has_schema` is True if the schema is known to exist, so that no right to create schemas is needed.
        """
        columns = [
            exp.ColumnDef(
                this=quoted_name(column),
                kind=exp.DataType.build(kind),
                constraints=[exp.ColumnConstraint(kind=exp.NotNullColumnConstraint())],
            )
            for column, kind in _TYPES.items()
        ]
        keys = [exp.PrimaryKey(expressions=list(map(quoted_name, _KEYS)))] if self._dialect.has_transactions else []
        declared = exp.Schema(this=self._table.copy(), expressions=[*columns, *keys])
        schema = exp.Create(this=exp.Table(db=quoted_name(self._tables.schema)), kind="SCHEMA", exists=True)
        table = exp.Create(this=declared, kind="TABLE", exists=True)
        return [table] if has_schema else [schema, table]

    def read(self, view: str, store: str) -> exp.Select:
        """Select revision and content of one state."""
        return exp.select(*map(quoted, _VALUES)).from_(self._table.copy()).where(*_is(view, store))

    def write(self, view: str, store: str, before: int, content: str) -> exp.Expr:
        """Write the revision after `before`; no row changes, or the insert fails, if the state has another revision.

        Args:
            view: The feature view's name in the state.
            store: The online store's name in the state.
            before: The current revision, 0 if the state does not exist.
            content: The content of the new revision.
        """
        new = _row(view, store).select(named(_number(before + 1), "revision"), named(_text(content), "content"))
        if not self._dialect.has_transactions:
            return self._merged(new)
        if before == 0:
            return exp.insert(new, self._table.copy(), columns=[quoted_name(name) for name in (*_KEYS, *_VALUES)])
        changed = {"revision": _number(before + 1), "content": _text(content)}
        return exp.Update(
            this=self._table.copy(),
            expressions=[exp.EQ(this=quoted(name), expression=value) for name, value in changed.items()],
            where=exp.Where(this=exp.and_(*_is(view, store), quoted("revision").eq(_number(before)))),
        )

    def forget(self, view: str, store: str) -> exp.Expr:
        """Delete a state if it exists."""
        if not self._dialect.has_transactions:
            return self._merge(_row(view, store), exp.When(matched=True, then=exp.var("DELETE")))
        return exp.Delete(this=self._table.copy(), where=exp.Where(this=exp.and_(*_is(view, store))))

    def _merged(self, new: exp.Select) -> exp.Merge:
        """Write a revision if it follows the current one, or if it is the first and the state does not exist."""
        follows = quoted("revision", of=_OLD).eq(exp.Sub(this=quoted("revision", of=_NEW), expression=_number(1)))
        changed = [exp.EQ(this=quoted(name), expression=quoted(name, of=_NEW)) for name in _VALUES]
        columns = (*_KEYS, *_VALUES)
        inserted = exp.Insert(
            this=exp.Tuple(expressions=[quoted(name) for name in columns]),
            expression=exp.Tuple(expressions=[quoted(name, of=_NEW) for name in columns]),
        )
        return self._merge(
            new,
            exp.When(matched=True, condition=follows, then=exp.Update(expressions=changed)),
            exp.When(matched=False, condition=quoted("revision", of=_NEW).eq(_number(1)), then=inserted),
        )

    def _merge(self, new: exp.Select, *whens: exp.When) -> exp.Merge:
        return exp.Merge(
            this=exp.alias_(self._table.copy(), quoted_name(_OLD), table=True),
            using=new.subquery(quoted_name(_NEW)),
            on=exp.and_(*(quoted(name, of=_OLD).eq(quoted(name, of=_NEW)) for name in _KEYS)),
            whens=exp.Whens(expressions=list(whens)),
        )


def _is(view: str, store: str) -> list[exp.Expr]:
    """Return the conditions that select one state."""
    return [quoted(name).eq(_text(value)) for name, value in zip(_KEYS, (view, store), strict=True)]


def _row(view: str, store: str) -> exp.Select:
    return exp.select(*(named(_text(value), name) for name, value in zip(_KEYS, (view, store), strict=True)))


def _text(value: str) -> exp.Expr:
    return exp.Literal.string(value)


def _number(value: int) -> exp.Expr:
    return exp.Literal.number(value)
