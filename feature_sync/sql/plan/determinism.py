"""Which functions have one answer whatever the order in which rows are read, and which may make rows."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

_OF_ONE_ROW = (
    exp.Abs, exp.And, exp.Case, exp.Cast, exp.Ceil, exp.Coalesce, exp.Concat, exp.CurrentDate, exp.CurrentTimestamp,
    exp.DateDiff, exp.DateTrunc, exp.Exists, exp.Extract, exp.Floor, exp.Greatest, exp.If, exp.Least, exp.Length,
    exp.Lower, exp.Nullif, exp.Or, exp.Round, exp.Substring, exp.TimestampDiff, exp.TimestampTrunc, exp.Trim,
    exp.TryCast, exp.Upper,
)  # fmt: skip
_OF_MANY_ROWS = (exp.Avg, exp.Count, exp.Max, exp.Min, exp.Sum)
_OF_ORDERED_ROWS = (
    exp.CumeDist, exp.DenseRank, exp.FirstValue, exp.Lag, exp.LastValue, exp.Lead, exp.NthValue, exp.Ntile,
    exp.PercentRank, exp.Rank, exp.RowNumber,
)  # fmt: skip
_OPEN = (exp.Distinct, exp.Fetch, exp.Limit, exp.Offset, exp.TableSample, exp.Pivot, exp.Lateral, exp.Columns)


def is_deterministic(query: exp.Expr) -> bool:
    """True if the order in which the warehouse reads rows cannot affect the answer, and no function is volatile.

    A function that is not known here counts as one that may. So do windows over a number of rows, which ties divide.
    """
    for node in query.walk():
        if isinstance(node, exp.Func) and not isinstance(node, (*_OF_ONE_ROW, *_OF_MANY_ROWS)):
            return False
        if isinstance(node, exp.Distinct) and node.args.get("on") is None:
            continue
        if isinstance(node, _OPEN) or (isinstance(node, exp.With) and node.args.get("recursive")):
            return False
        if isinstance(node, exp.WindowSpec) and node.args.get("kind") != "RANGE":
            return False
        if isinstance(node, exp.Join) and node.args.get("method"):
            return False
    return True


def is_plain(projection: exp.Expr) -> bool:
    """True if an expression gives one value for each row or group, so that leaving it out changes no row."""
    known = (*_OF_ONE_ROW, *_OF_MANY_ROWS, *_OF_ORDERED_ROWS, exp.AggFunc)
    return all(isinstance(each, known) or not isinstance(each, exp.Func) for each in own_nodes(projection)) and not any(
        isinstance(each, (exp.Columns, exp.Unnest, exp.UDTF)) for each in own_nodes(projection)
    )


def aggregates(projection: exp.Expr) -> bool:
    """True if an expression aggregates the rows of its own query: without GROUP BY they become one row."""
    windowed = {
        id(inside) for each in own_nodes(projection) if isinstance(each, exp.Window) for inside in _called(each)
    }
    return any(isinstance(each, exp.AggFunc) and id(each) not in windowed for each in own_nodes(projection))


def own_nodes(expression: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the nodes of an expression without those of queries inside it."""
    yield from expression.walk(prune=lambda node: isinstance(node, exp.Query))


def _called(window: exp.Window) -> Iterator[exp.Expr]:
    """Yield the function of a window, below a filter and a treatment of nulls."""
    node = window.this
    while isinstance(node, (exp.Filter, exp.IgnoreNulls, exp.RespectNulls, exp.WithinGroup)):
        yield node
        node = node.this
    yield node
