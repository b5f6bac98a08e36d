"""Spines: the rows to be answered, each with the moment asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from numbers import Integral, Real

from feature_sync.definitions.relation import Relation
from feature_sync.errors import RequestError, UnknownName

_MOST_ROWS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Period:
    """A period of aware datetimes in UTC, both ends inclusive; None means no bound."""

    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ordering:
    """A column to order by."""

    column: str
    descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Spine:
    """The rows to be answered: join keys, a moment asked (`relation.event_time`), and anything else (labels).

    `query` defines the rows if no table does. `sample` is the share, above 0 and up to 1, of pairs of join keys and
    moment to keep; `limit` keeps the first rows in the order of `order_by`, or else of the moment and the join keys.
    `labels` names columns that a model learns to predict.
    """

    relation: Relation
    query: str | None = None
    period: Period = Period()
    sample: float | None = None
    limit: int | None = None
    order_by: tuple[Ordering, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """The columns that a model learns to predict: those named, else those that the project marks as labels."""
        return self.labels or tuple(name for name, column in self.relation.columns.items() if column.is_label)

    @property
    def asked_at(self) -> str:
        """The column with the moment asked.

        Raises:
            RequestError: The spine names none, or has no such column.
        """
        relation = self.relation
        if relation.event_time is None:
            raise RequestError(
                f"{relation.location}: config.event_time is missing: name the column with the moment asked there, or "
                "with --event-timestamp"
            )
        if relation.event_time not in relation.columns:
            raise RequestError(
                f"{relation.location}: the spine has no column {relation.event_time!r} with the moment asked; it has "
                f"{', '.join(relation.columns)}; name one with --event-timestamp"
            )
        return relation.event_time

    @property
    def is_partial(self) -> bool:
        """Whether only some of its source's rows are asked: a sample, or the first ones."""
        return self.sample is not None or self.limit is not None

    def checked(self) -> Spine:
        """Return the spine itself if sample, limit, period and ordering are valid.

        Raises:
            RequestError: The sample or limit is out of range, or the period ends before it begins.
            UnknownName: The spine lacks a column to order by.
        """
        sample, limit = self.sample, self.limit
        if sample is not None and not (isinstance(sample, Real) and 0 < sample <= 1):
            number = str(sample).removesuffix(".0")
            raise RequestError(f"a sample of {number} is not a share; write a number above 0 and up to 1, such as 0.1")
        if limit is not None and not (isinstance(limit, Integral) and 0 <= limit <= _MOST_ROWS):
            raise RequestError(f"a limit of {limit} rows is not possible; write a whole number, 0 or more")
        since, until = self.period.since, self.period.until
        if since is not None and until is not None and until < since:
            raise RequestError(f"the period ends ({until.isoformat()}) before it begins ({since.isoformat()})")
        for each in self.order_by:
            self._check_column(each.column)
        for label in self.labels:
            self._check_column(label)
        return self

    def _check_column(self, name: str) -> None:
        if self.relation.columns_are_complete and name not in self.relation.columns:
            raise UnknownName("column of the spine", name, self.relation.columns)

    def with_relation(self, relation: Relation) -> Spine:
        """Return the same spine over another table, or with more known about its columns."""
        return replace(self, relation=relation)


def parse_ordering(text: str) -> tuple[Ordering, ...]:
    """Parse an ordering such as `column, other desc`.

    Raises:
        RequestError: A term is empty.

    >>> parse_ordering("asked_at desc, flight_id")
    (Ordering(column='asked_at', descending=True), Ordering(column='flight_id', descending=False))
    """
    found: list[Ordering] = []
    for term in text.split(","):
        column, _, direction = term.strip().rpartition(" ")
        if column and direction.lower() in ("asc", "desc"):
            found.append(Ordering(column.strip(), direction.lower() == "desc"))
        elif term.strip():
            found.append(Ordering(term.strip()))
        else:
            raise RequestError(f"{text!r} has an empty term; write column, other desc")
    return tuple(found)
