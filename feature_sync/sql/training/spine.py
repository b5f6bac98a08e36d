"""The spine in SQL: the rows to answer, each with the moment asked in UTC."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlglot import exp

from feature_sync.definitions import FeatureService, Ordering, Spine
from feature_sync.errors import RequestError
from feature_sync.sql.collation import collations
from feature_sync.sql.columns import column, named, quoted, table, typed_rows
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.training.typed_query import one_select
from feature_sync.sql.types import is_sortable, key_type, plain_time, value_type
from feature_sync.value_types import ValueType

_SAMPLED_DIGITS = 8
_SEPARATOR = exp.Literal.string("|")


class SpineQuery:
    """One spine as expressions."""

    def __init__(
        self, spine: Spine, *, dialect: Dialect, native: Dialect | None = None, keys: tuple[str, ...] = ()
    ) -> None:
        """Hold the spine and how to write it.

        Args:
            spine: The spine.
            dialect: The dialect of the query.
            native: The dialect of the warehouse, in which the spine's types and its query are written; `dialect` if
                None.
            keys: The columns of the spine that hold keys.
        """
        self.spine = spine
        self._native = native or dialect
        self._dialect = dialect
        self._keys = keys

    def key_type(self, name: str) -> ValueType:
        """Return the type of a column of the spine.

        Raises:
            DefinitionError: The type is not in the closed list.
        """
        return value_type(self.spine.relation.columns[name], self.spine.relation, dialect=self._native)

    def is_sortable(self, name: str) -> bool:
        """True if every warehouse can order rows by a column of the spine: a number, text, time, or the like."""
        column = self.spine.relation.columns[name]
        return is_sortable(column.data_type, dialect=self._native)

    def check_time(self) -> None:
        """Check that the column with the moment asked holds times.

        Raises:
            RequestError: The column has another type.
        """
        name = self.spine.asked_at
        if not (kind := self.key_type(name)).is_time:
            raise RequestError(
                f"{self.spine.relation.location}: {name!r} is {kind}, not a time; cast it, or name another column with "
                "--event-timestamp"
            )

    def rows(self, asked_at: str) -> exp.Select:
        """Select the rows to answer: all columns, and the moment asked under the name `asked_at`."""
        relation = self.spine.relation
        columns = [named(self._column(name), name) for name in relation.columns]
        rows = (
            exp.select(*columns, named(self._asked_at(), asked_at))
            .from_(source(self.spine, dialect=self._native))
            .where(*self._chosen())
        )
        if self.spine.limit is None:
            return rows
        order = self.spine.order_by or tuple(Ordering(name) for name in (self.spine.asked_at, *self._keys))
        return rows.order_by(*(self._ordered(each, self._column(each.column)) for each in order)).limit(
            self.spine.limit
        )

    def chosen(self) -> exp.Subquery:
        """Select a constant for each row to answer, so that the rows can be counted."""
        one = named(exp.Literal.number(1), "one")
        rows = exp.select(one).from_(source(self.spine, dialect=self._native)).where(*self._chosen())
        rows = rows if self.spine.limit is None else rows.limit(self.spine.limit)
        return rows.subquery(exp.to_identifier("chosen", quoted=True))

    def bounds(self, counted: Iterable[tuple[str, ...]] = ()) -> exp.Select:
        """Select the first and the last moment asked, in microseconds UTC, and counts of rows and entities.

        The limit is ignored: the bounds may be wider than the rows, and the counts higher.

        Args:
            counted: Columns with the keys of entities to count; without any, rows are not counted either.
        """
        moments = (exp.Min(this=self._asked_at()), exp.Max(this=self._asked_at()))
        bounds = [self._dialect.microseconds(moment) for moment in moments]
        first, last = (named(bound, name) for bound, name in zip(bounds, ("first_asked", "last_asked"), strict=True))
        selected = [first, last]
        counts = [self._dialect.approximate_count([self._column(key) for key in keys]) for keys in counted]
        if counts:
            selected.append(named(exp.Count(this=exp.Star()), "rows_asked"))
        selected += [
            named(count, f"entities_{place}") for place, count in enumerate(counts, start=1) if count is not None
        ]
        return exp.select(*selected).from_(source(self.spine, dialect=self._native)).where(*self._chosen())

    def order(self, *, of: str) -> list[exp.Ordered]:
        """Order a result that holds the spine's columns."""
        return [self._ordered(each, quoted(each.column, of=of)) for each in self.spine.order_by]

    def _column(self, name: str) -> exp.Expr:
        relation = self.spine.relation
        return plain_time(column(relation, name), relation.columns.get(name), dialect=self._native)

    def _asked_at(self) -> exp.Expr:
        name = self.spine.asked_at
        return self._dialect.utc(self._column(name), self.key_type(name), timezone="UTC")

    def _chosen(self) -> list[exp.Expr]:
        """Return the conditions of the period, both ends included, and of the sample."""
        period = self.spine.period
        conditions: list[exp.Expr] = []
        if period.since is not None:
            conditions.append(exp.GTE(this=self._asked_at(), expression=self._dialect.moment(period.since)))
        if period.until is not None:
            conditions.append(exp.LTE(this=self._asked_at(), expression=self._dialect.moment(period.until)))
        if self.spine.sample is not None:
            conditions.append(self._is_sampled(self.spine.sample))
        return conditions

    def _is_sampled(self, share: float) -> exp.Expr:
        """Keep a share of the pairs of keys and moment by a hash of their text, so that the sample is reproducible."""
        asked_at = exp.cast(self._dialect.microseconds(self._asked_at()), "text")
        texts = [exp.cast(self._column(key), "text") for key in self._keys]
        parts: list[exp.Expr] = []
        for text in (*texts, asked_at):
            parts += [exp.Coalesce(this=text, expressions=[exp.Literal.string("")]), _SEPARATOR.copy()]
        digest = self._dialect.md5(exp.Concat(expressions=parts[:-1]))
        digits = exp.Substring(this=digest, start=exp.Literal.number(1), length=exp.Literal.number(_SAMPLED_DIGITS))
        highest = 16**_SAMPLED_DIGITS
        below = min(round(share * highest), highest - 1)
        return exp.LTE(this=digits, expression=exp.Literal.string(f"{below:0{_SAMPLED_DIGITS}x}"))

    @staticmethod
    def _ordered(ordering: Ordering, term: exp.Expr) -> exp.Ordered:
        return exp.Ordered(this=term, desc=ordering.descending, nulls_first=False)


def source(spine: Spine, *, dialect: Dialect) -> exp.Expr:
    """Return the table, or the query that the user typed, verbatim except for its comments.

    Raises:
        RequestError: The query is not one SELECT.
    """
    if spine.query is None:
        return table(spine.relation, dialect=dialect)
    return typed_rows(one_select(spine.query, dialect=dialect))


def every_row(spine: Spine, *, dialect: Dialect) -> exp.Select:
    """Select all columns and rows of the spine's source; for the warehouse to describe or to store."""
    return exp.select("*").from_(source(spine, dialect=dialect))


def spine_keys(service: FeatureService, *, dialect: Dialect) -> dict[str, tuple[ValueType, str]]:
    """Return the columns of a spine that hold keys of a service: by name, the type and the warehouse's name of it.

    Raises:
        DefinitionError: The type of a join key cannot identify an entity.
    """
    return {
        spine_key: (
            key_type(selection.view.relation.columns[key], selection.view.relation, dialect=dialect),
            selection.view.relation.columns[key].data_type or "",
        )
        for selection in service.selections
        for spine_key, key in zip(selection.spine_keys, selection.view.join_keys, strict=True)
    }


def spine_collations(spine: Spine, types: Mapping[str, ValueType], dialect: Dialect) -> exp.Select | None:
    """Select how a spine's keys of these types are compared, since its collation takes part in the join.

    Args:
        spine: The spine.
        types: The types of its keys, by their names.
        dialect: Dialect of the warehouse.
    """
    rows = source(spine, dialect=dialect)
    return collations(rows, spine.relation, types, time=spine.asked_at, dialect=dialect)
