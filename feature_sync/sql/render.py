"""Makes text of an expression: every name folded and quoted for its warehouse, formatted for reading."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from feature_sync.errors import RequestError, did_you_mean

_FOLDS: dict[str, Callable[[str], str]] = {"duckdb": str, "postgres": str.lower}
DIALECTS = tuple(_FOLDS)


def render(query: exp.Query, *, dialect: str) -> str:
    """Write a query as text that ends in a newline; the same query always gives the same bytes."""
    copy = query.copy()
    for identifier in copy.find_all(exp.Identifier):
        if not identifier.quoted:
            identifier.set("this", _FOLDS[dialect](identifier.this))
            identifier.set("quoted", True)
    for alias in list(copy.find_all(exp.Alias)):
        if isinstance(alias.this, exp.Column) and alias.this.name == alias.alias:
            alias.replace(alias.this)
    return copy.sql(dialect=dialect, pretty=True, max_text_width=100) + "\n"


def check_dialect(dialect: str) -> str:
    """Return a dialect that queries can be written in.

    Raises:
        RequestError: There is no such dialect here.
    """
    if dialect not in _FOLDS:
        raise RequestError(f"no dialect is called {dialect!r}{did_you_mean(dialect, _FOLDS)}")
    return dialect
