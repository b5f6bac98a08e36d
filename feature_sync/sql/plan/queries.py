"""The form of a whole query: of its rows, and of each of its columns."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import Dialect, exp, tokenize
from sqlglot.errors import SqlglotError

from feature_sync.sql.plan.determinism import is_deterministic
from feature_sync.sql.plan.forms import Form
from feature_sync.sql.plan.selects import Reader, UnreadableQuery
from feature_sync.sql.plan.sources import Source, TableSource
from feature_sync.sql.plan.words import Words, words_of

__all__ = ["QueryForm", "Tables", "UnreadableQuery", "form_of"]


class Tables:
    """The tables that queries may read, by names that are the same in all environments."""

    def __init__(self, dialect: str, known: Mapping[str, tuple[str, tuple[str, ...] | None]]) -> None:
        """Read the names of tables.

        Args:
            dialect: sqlglot's name of the dialect.
            known: For a relation as dbt names it, qualified and quoted: its lasting name, and all its columns, or None.
        """
        self.dialect = dialect
        self._known = {_parts(exp.to_table(name, dialect=dialect)): each for name, each in known.items()}

    def source(self, table: exp.Table) -> Source:
        """Return the source of a table; one that is not known keeps the name by which the query calls it."""
        parts = _parts(table)
        name, columns = self._known.get(parts, ("relation " + ".".join(parts), None))
        folded = None if columns is None else tuple(fold(each, self.dialect) for each in columns)
        return TableSource(name, folded)


class QueryForm:
    """The form of a query. `names` are its columns, folded; None if they are not known."""

    def __init__(self, source: Source, *, words: Words, dialect: str) -> None:
        self.body, self.full, self.names = source.body, source.full, source.names
        self.words = words
        self._source = source
        self._dialect = dialect

    def fold(self, name: str) -> str:
        """Return a name of a column as this query compares it."""
        return fold(name, self._dialect)

    def column(self, name: str) -> Form | None:
        """Return the form of a column; None if the query surely has no such column."""
        return self._source.column(self.fold(name))


def form_of(sql: str, tables: Tables) -> QueryForm:
    """Read a query.

    Raises:
        UnreadableQuery: It is not a query, or holds what is not understood.
    """
    try:
        found = Dialect.get_or_raise(tables.dialect).parse(sql)
        words = words_of(tokenize(sql, read=tables.dialect))
        if len(found) != 1 or not isinstance(found[0], exp.Query):
            raise UnreadableQuery("is not one query")
        reader = Reader(
            sql, table=tables.source, fold=lambda name: fold(name, tables.dialect), loose=is_deterministic(found[0])
        )
        return QueryForm(reader.query(found[0]), words=words, dialect=tables.dialect)
    except SqlglotError as unread:
        raise UnreadableQuery(f"cannot be parsed as SQL of {tables.dialect}") from unread
    except RecursionError as deep:
        raise UnreadableQuery("is nested too deeply") from deep


def fold(name: str | exp.Identifier, dialect: str) -> str:
    """Return a name of a column or alias in the one spelling by which the warehouse compares names."""
    identifier = exp.to_identifier(name) if isinstance(name, str) else name
    if dialect in ("bigquery", "duckdb"):
        return str(identifier.this).lower()
    return str(Dialect.get_or_raise(dialect).normalize_identifier(identifier.copy()).this)


def _parts(table: exp.Table) -> tuple[str, ...]:
    """Return catalog, schema and name of a table; a table of BigQuery may be quoted as a whole."""
    texts = [part.name for part in table.parts]
    return tuple(".".join(texts).split("."))
