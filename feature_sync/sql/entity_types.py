"""Checks that the join keys of an entity have the same types in all feature views that it identifies."""

from __future__ import annotations

from collections.abc import Iterable

from feature_sync.definitions import FeatureView
from feature_sync.errors import Findings
from feature_sync.sql.view_columns import UNKNOWN
from feature_sync.sql.view_query import ViewQuery
from feature_sync.value_types import ValueType


def check_entity_types(queries: Iterable[ViewQuery]) -> None:
    """Check that each entity's join keys have the same types in all views, so that one key finds all of them.

    Raises:
        DefinitionError: The types differ; the error names both views.
    """
    findings = Findings()
    first: dict[tuple[str, int], tuple[FeatureView, str, ValueType]] = {}
    for query in queries:
        for entity in query.view.entities:
            for position, key in enumerate(entity.join_keys):
                if (kind := query.key_types[key]) is UNKNOWN:
                    continue
                other, other_key, other_kind = first.setdefault((entity.name, position), (query.view, key, kind))
                if kind.kind != other_kind.kind:
                    at = query.view.relation.location.at(f"config.meta.feature_view.entities.{entity.name}")
                    findings.note(
                        at.mistake(
                            f"{key!r} is {kind}, but {other_key!r} of {other.reference} is {other_kind}; an entity has "
                            "one type everywhere: cast one of them in its model"
                        )
                    )
    findings.raise_errors()
