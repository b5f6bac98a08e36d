"""When a row stops answering, in SQL; `online/validity.py` is the same rule in Python.

A row answers while its age is at most the TTL, and before its end plus the view's lag.
"""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.columns import quoted
from feature_sync.sql.view_query import ViewQuery


def still_answers(query: ViewQuery, moment: exp.Expr, *, of: str | None = None) -> list[exp.Expr]:
    """Return the conditions under which the newest available row answers at a moment.

    Args:
        query: The view.
        moment: An expression of the dialect's `moment_type`.
        of: The table, alias or step that holds the row.
    """
    conditions = young_enough(query, moment, of=of)
    if query.has_end:
        valid_until = quoted(query.valid_until_name, of=of)
        ahead = exp.LT(this=query.dialect.earlier(moment.copy(), query.view.lag), expression=valid_until)
        conditions.append(exp.or_(valid_until.copy().is_(exp.null()), ahead))
    return conditions


def young_enough(query: ViewQuery, moment: exp.Expr, *, of: str | None = None) -> list[exp.Expr]:
    """Return the condition that a row is at most as old as the TTL, inclusive; an empty list without a TTL.

    Args:
        query: The view.
        moment: An expression of the dialect's type of moments.
        of: The table or step of the row.
    """
    if query.view.ttl is None:
        return []
    oldest = query.dialect.earlier(moment.copy(), query.view.ttl)
    return [exp.GTE(this=quoted(query.event_timestamp_name, of=of), expression=oldest)]


def has_ended(query: ViewQuery, moment: exp.Expr) -> exp.Expr:
    """Return the condition that a row has ended at a moment; null for a row without an end."""
    begun = query.dialect.earlier(moment.copy(), query.view.lag)
    return exp.paren(exp.LTE(this=quoted(query.valid_until_name), expression=begun))
