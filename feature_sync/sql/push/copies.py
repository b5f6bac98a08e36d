"""The statement about a copy of newest rows, where the state of a push is kept elsewhere than the rows."""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.columns import quoted


def begin_without_end(name: str, column: str) -> exp.Expr:
    """Set the event timestamps that are null to -infinity: a row that answers without one is true since ever."""
    value = exp.cast(exp.Literal.string("-infinity"), "timestamp")
    return exp.update(exp.to_table(name), {column: value}, where=quoted(column).is_(exp.null()))
