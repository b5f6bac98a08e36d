"""A spine joined to a feature service; what has no unambiguous answer is refused before any query runs."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Self

from feature_sync.definitions import FeatureService, History, Period, Selection, Spine
from feature_sync.errors import RequestError
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.entity_types import check_entity_types
from feature_sync.sql.training.spine import SpineQuery
from feature_sync.sql.view_query import ViewQuery
from feature_sync.value_types import ValueType
from feature_sync.yaml_lines import write_keys, write_name, write_names

_INTEGERS = ("int64", "wideint")


class PointInTimeJoin:
    """A spine and a feature service that fit each other, for any number of queries.

    The query of each view is built once, even if the service selects the view in several roles.
    """

    def __init__(
        self, service: FeatureService, spine: Spine, *, dialect: Dialect, native: Dialect | None = None
    ) -> None:
        """Read the types of all columns in use, and check that they fit.

        Args:
            service: The features to join.
            spine: The rows to answer.
            dialect: The dialect of the queries.
            native: The dialect of the warehouse, in which the definitions declare types; `dialect` if None.

        Raises:
            DefinitionError: A column's type cannot be a key, a time or a feature.
            RequestError: The spine lacks a key or its time, types do not fit, or names clash.
        """
        self.service = service
        self.spine = spine
        self.dialect = dialect
        self.native = native or dialect
        views = {each.view.reference: each.view for each in service.selections}
        self.views: Mapping[str, ViewQuery] = {
            reference: ViewQuery(view, dialect=dialect, native=native) for reference, view in views.items()
        }
        """The query of each view, by the view's reference."""
        check_entity_types(self.views.values())
        self._check()

    @property
    def spine_query(self) -> SpineQuery:
        """The spine as expressions."""
        return SpineQuery(self.spine, dialect=self.dialect, native=self.native, keys=self.service.join_keys)

    @property
    def key_types(self) -> dict[str, ValueType]:
        """The type of each column of the spine that holds a key, by name."""
        return {
            spine_key: self.views[selection.view.reference].key_types[key]
            for selection in self.service.selections
            for spine_key, key in zip(selection.spine_keys, selection.view.join_keys, strict=True)
        }

    def over(self, spine: Spine) -> Self:
        """Return a copy for another form of the spine, which is checked if its columns differ.

        Raises:
            RequestError: The spine lacks a key or its time, types do not fit, or names clash.
        """
        other = copy(self)
        other.spine = spine
        if spine.relation.columns != self.spine.relation.columns:
            other._check()  # noqa: SLF001 - a copy's own
        return other

    def bounded(self, asked: Period) -> Mapping[str, ViewQuery]:
        """Return the query of each view, by the view's reference, without rows that cannot answer any moment asked."""
        return {reference: query.bounded(asked) for reference, query in self.views.items()}

    def _check(self) -> None:
        self.spine.checked()
        self.spine_query.check_time()
        for selection in self.service.selections:
            if selection.view.history is History.LATEST_ONLY:
                raise RequestError(_refuse_latest_only(selection))
            self._check_keys(selection)
        self._check_names()
        _check_lengths(self.service, self.dialect)

    def _check_keys(self, selection: Selection) -> None:
        """Check that the spine has the keys of a view, in types that can be compared."""
        view, spine = selection.view, self.spine.relation
        for key, spine_key in zip(view.join_keys, selection.spine_keys, strict=True):
            if spine_key not in spine.columns:
                raise RequestError(
                    f"{spine.location}: the spine has no column {spine_key!r}, the key {key} of {selection.alias}; "
                    f"it has {', '.join(spine.columns)}; name another under keys in the feature service"
                )
            spine_type, view_type = self.spine_query.key_type(spine_key), self.views[view.reference].key_types[key]
            if not _comparable(spine_type, view_type):
                raise RequestError(
                    f"{spine.location}: {spine_key!r} is {spine_type}, but the key {key} of {view.reference} is "
                    f"{view_type}; cast one of them in its model"
                )

    def _check_names(self) -> None:
        """Check that no feature has the name of a column of the spine, ignoring case."""
        spine = self.spine.relation
        folded = {name.casefold(): name for name in spine.columns}
        for name in self.service.feature_names:
            if name.casefold() in folded:
                raise RequestError(
                    f"{spine.location}: the spine has a column {folded[name.casefold()]!r} and so has the service "
                    f"{self.service.name}; rename the spine's, or set full_names: true in the feature service"
                )


def _check_lengths(service: FeatureService, dialect: Dialect) -> None:
    for name in service.feature_names:
        size = len(name.encode())
        if dialect.longest_name is not None and size > dialect.longest_name:
            raise RequestError(
                f"{service.name}: the name {name!r} is {size} bytes long, but {dialect.name} keeps only "
                f"{dialect.longest_name}; give its view a shorter alias in the feature service: "
                "short_name: {view: ..., features: [...]}"
            )


def _comparable(one: ValueType, other: ValueType) -> bool:
    return one.kind == other.kind or (one.kind in _INTEGERS and other.kind in _INTEGERS)


def _refuse_latest_only(selection: Selection) -> str:
    view = selection.view
    version = f", v={view.version}" if view.version else ""
    entities = ", ".join(f"{write_name(each.name)}: {write_keys(each.join_keys)}" for each in view.entities)
    settings = f"entities: {{{entities}}}, features: {write_names(selection.features)}"
    snapshot = (
        f"snapshots: [{{name: {view.name}_history, relation: \"ref('{view.name}'{version})\", config: "
        f"{{unique_key: {write_keys(view.join_keys)}, strategy: check, check_cols: all, "
        f"meta: {{feature_view: {{{settings}}}}}}}}}]"
    )
    return (
        f"{view.relation.location}: {view.reference} is latest_only, so it has no history to train on; keep its "
        f"history from now on with a snapshot, and put {view.name}_history into the service; in a file below "
        f"snapshots/: {snapshot}"
    )
