"""The expressions that queries over a feature view share: which rows can answer, and which is the newest."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import replace
from typing import Self

from sqlglot import exp

from feature_sync.definitions import FeatureView, Index, Period
from feature_sync.errors import Findings
from feature_sync.sql.answerable import can_answer
from feature_sync.sql.columns import TakenNames, ascending, descending, extend, named, quoted, table
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.row_order import row_order, tie_breakers
from feature_sync.sql.scalars import orderable
from feature_sync.sql.view_columns import ViewColumns


class ViewQuery:
    """One feature view as expressions; every moment in them is a naive timestamp in UTC."""

    def __init__(
        self,
        view: FeatureView,
        *,
        dialect: Dialect,
        native: Dialect | None = None,
        asked: Period | None = None,
        findings: Findings | None = None,
    ) -> None:
        """Read the types of all columns in use.

        Args:
            view: The view.
            dialect: The dialect of the query.
            native: The dialect of the warehouse, in which the view declares its types; `dialect` if None.
            asked: The moments asked; rows that cannot answer any of them are left out.
            findings: Collects wrong types instead of raising; queries over such columns must not be used.

        Raises:
            DefinitionError: A type cannot be a key, a time or a feature, or a default does not have its feature's type.
        """
        self._columns = ViewColumns(view, dialect=dialect, native=native or dialect, findings=findings)
        self._asked = asked or Period()
        self.view = view
        self.dialect = dialect
        self.native = self._columns.native
        self.key_types = self._columns.key_types
        self.feature_types = self._columns.feature_types
        self.is_unique = self._columns.is_unique
        """True if no two rows have the same keys and event timestamp as this query reads them."""
        self._taken = TakenNames((*view.relation.columns, *view.join_keys))
        self.event_timestamp_name = self.own_name("_event_timestamp")
        self.available_at_name = self.own_name("_available_at")
        self.valid_until_name = self.own_name("_valid_until")
        self.created_name = self.own_name("_created_at")
        self.known_at_name = self.own_name("_known_at")
        self.row_number_name = self.own_name("_newness")
        self.row_hash_name = self.own_name("_row_hash")

    def bounded(self, asked: Period) -> Self:
        """Return a copy that leaves out rows which cannot answer any moment asked; types are not read again."""
        bounded = copy(self)
        bounded._asked = asked  # noqa: SLF001 - a copy's own
        return bounded

    def own_name(self, name: str) -> str:
        """Return the name, with underscores appended if a column of the view has it."""
        return self._taken.unused(name)

    def plain_rows(
        self, features: Iterable[str] | None = None, *, until: exp.Expr | None = None, decisive: bool = False
    ) -> exp.Select:
        """Select the rows that can answer: join keys and features under their declared names, and the row's times.

        The times are event timestamp, availability, end of validity and creation, as far as the view has them.

        Args:
            features: Names of the features; all if None, which `tie_order` needs.
            until: A moment; rows that are not available by then are left out.
            decisive: Whether to add `known_at`, so that everything that orders rows is selected.
        """
        view = self.view
        chosen = tuple(self.feature_types) if features is None else tuple(features)
        selected = [named(self._columns.column(name), name) for name in (*view.join_keys, *chosen)]
        times = (
            self.times if decisive else {name: each for name, each in self.times.items() if name != self.known_at_name}
        )
        selected += [named(moment, name) for name, moment in times.items()]
        rows = (
            exp.select(*selected)
            .from_(table(view.relation, dialect=self.native), copy=False)
            .where(*can_answer(self._columns, self._asked), copy=False)
        )
        available_at = self._columns.available_at()
        if until is None or available_at is None:
            return rows
        return rows.where(exp.LTE(this=available_at, expression=until), copy=False)

    def aliased_table(self) -> exp.Expr:
        """Refer to the table by an alias, in a query that refers to a step, whose name may be the table's own."""
        alias = exp.to_identifier("candidates", quoted=True)
        return exp.alias_(table(self.view.relation, dialect=self.native), alias, table=True)

    @property
    def times(self) -> dict[str, exp.Expr]:
        """The times that the view has, by the names that `plain_rows` gives them."""
        view = self.view
        times = {
            self.event_timestamp_name: self._columns.event_timestamp(),
            self.available_at_name: self._columns.available_at(),
            self.valid_until_name: self._columns.valid_until(),
            self.known_at_name: None if view.known_at is None else self._columns.time(view.known_at),
            self.created_name: None if view.created_timestamp is None else self._columns.time(view.created_timestamp),
        }
        return {name: moment for name, moment in times.items() if moment is not None}

    def rows(
        self,
        *,
        newest_first: bool,
        features: Iterable[str] | None = None,
        until: exp.Expr | None = None,
        across_entities: bool = False,
    ) -> exp.Select:
        """Select the rows that can answer, with their number in `row_number_name`, from 1 for each entity.

        Args:
            newest_first: Whether the newest row or the oldest has the number 1.
            features: Names of the features; all if None.
            until: A moment; rows that are not available by then are left out.
            across_entities: Whether numbers continue from one entity to the next, so that a number alone finds its row.
        """
        keys = [self._columns.column(key) for key in self.view.join_keys]
        order = row_order(self._columns, newest_first=newest_first)
        if across_entities:
            order, keys = [*map(ascending, keys), *order], []
        numbered = exp.Window(this=exp.RowNumber(), partition_by=keys, order=exp.Order(expressions=order))
        return extend(self.plain_rows(features, until=until), [named(numbered, self.row_number_name)])

    @property
    def key_columns(self) -> dict[str, exp.Expr]:
        """The columns of the join keys in the relation, by the names of the keys."""
        return {key: self._columns.column(key) for key in self.view.join_keys}

    @property
    def native_keys(self) -> list[str]:
        """The names of the join keys as the warehouse's catalog spells them."""
        return [self._columns.stored_name(key) for key in self.view.join_keys]

    @property
    def stored_names(self) -> list[str]:
        """The names of what a push stores of a row: keys, features and times, without `known_at`."""
        columns = (*self.view.join_keys, *self.feature_types, *self.times)
        return [name for name in columns if name != self.known_at_name]

    def order(self) -> list[exp.Ordered]:
        """Order rows of the relation by the definition, the newest first."""
        return row_order(self._columns, newest_first=True)

    def newest_row(self, keys: dict[str, exp.Expr], moment: exp.Expr, *, features: Iterable[str]) -> exp.Select:
        """Select the newest row of one entity that is available at a moment, in a form that an index serves.

        Args:
            keys: An expression for each join key.
            moment: The moment asked.
            features: Names of the features to select.
        """
        view = self.view
        event_timestamp, begun = str(view.event_timestamp), self.dialect.earlier(moment, view.lag)
        conditions: list[exp.Expr] = [self._columns.column(key).eq(value) for key, value in keys.items()]
        conditions.append(self._columns.not_after(event_timestamp, begun))
        if view.known_at is not None:
            conditions.append(self._columns.not_after(view.known_at, moment.copy()))
        # NULLS FIRST is the order of a descending index scan; with NULLS LAST PostgreSQL would not use the index. Rows
        # with a null event timestamp are left out above.
        newest = descending(self._columns.stored_time(event_timestamp), nulls_first=True)
        return (
            self.plain_rows(features)
            .from_(self.aliased_table(), copy=False)
            .where(*conditions, copy=False)
            .order_by(newest, *row_order(self._columns, newest_first=True)[1:], copy=False)
            .limit(1, copy=False)
        )

    def tie_order(self, *, of: str) -> list[exp.Ordered]:
        """Order rows of `plain_rows` that have the same keys and event timestamp, the newest first.

        Those of a view with `known_at` need the column that `decisive` adds.
        """
        known = [] if self.view.known_at is None else [quoted(self.known_at_name, of=of)]
        created = [] if self.view.created_timestamp is None else [quoted(self.created_name, of=of)]
        features = [
            term
            for name, kind in self.feature_types.items()
            for term in orderable(quoted(name, of=of), kind, self.dialect)
        ]
        order = [descending(term) for term in (*known, *created, *features)]
        ends = [quoted(self.valid_until_name, of=of)] if self.has_end else []
        order += [descending(term, nulls_first=True) for term in ends]
        breakers = tie_breakers(self._columns, {name: quoted(name, of=of) for name in self.feature_types})
        return [*order, *map(descending, breakers)]

    def with_indexes(self, indexes: Iterable[Index]) -> FeatureView:
        """Return the view with what indexes of its table prove beyond its definition: lookups by time, and uniqueness.

        An index orders times as it stores them, which is of no use where the query converts them.
        """
        view, relation = self.view, self.view.relation
        names = {self._columns.stored_name(name): name for name in relation.columns}
        keys = [([names.get(each, "") for each in index.columns], index.is_unique) for index in indexes]
        is_ordered = self.has_times and isinstance(self._columns.stored_time(str(view.event_timestamp)), exp.Column)
        return replace(
            view,
            is_indexed=view.is_indexed or (is_ordered and any(view.is_found_by(columns) for columns, _ in keys)),
            is_unique=view.is_unique
            or any(is_unique and view.is_identified_by(columns) for columns, is_unique in keys),
        )

    @property
    def has_times(self) -> bool:
        """Whether the view has an event timestamp."""
        return self.view.event_timestamp is not None

    @property
    def has_end(self) -> bool:
        """Whether the view has `valid_to`, as a snapshot has."""
        return self.view.valid_to is not None
