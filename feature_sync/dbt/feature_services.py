"""Turns a dbt exposure whose `config.meta.feature_service` is a mapping into a feature service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from feature_sync.dbt.block import Block, name_list
from feature_sync.dbt.manifest import Node
from feature_sync.definitions import FeatureService, FeatureView, Selection, told_apart
from feature_sync.errors import Location, did_you_mean


def read_feature_service(node: Node, views: Mapping[str, FeatureView], warnings: list[str]) -> FeatureService:
    """Read one exposure; unpinned versions add to the warnings.

    Raises:
        DefinitionError: The block is misspelt, or does not agree with the views or with `depends_on`.
    """
    at = node.location.at("config.meta.feature_service")
    block = Block(node.meta["feature_service"], at, allowed=("features", "full_names"))
    if node.type != "ml":
        raise node.location.at("type").error(f"must be ml for a feature service, not {node.type!r}")
    chosen = block.values.get("features")
    if not isinstance(chosen, Mapping) or not chosen:
        raise at.at("features").error("is missing: map each feature view to a list of its features")
    used = {view.relation.unique_id: view for view in views.values() if view.relation.unique_id in node.parents}
    selections = told_apart(
        _selection(str(name), value, at.at(f"features.{name}"), views, used, warnings) for name, value in chosen.items()
    )
    selected = {each.view.relation.unique_id for each in selections}
    for unique_id, view in used.items():
        if unique_id not in selected:
            raise at.at("features").error(f"{view.reference} is in depends_on, but no feature of it is listed")
    owner = node.owner or {}
    return FeatureService(
        name=node.name or "",
        selections=selections,
        full_names=block.flag("full_names", default=False),
        description=node.description or "",
        owner=" ".join(str(owner[key]) for key in ("name", "email") if owner.get(key)),
        location=at,
    ).checked()


def _selection(
    name: str,
    value: Any,
    at: Location,
    views: Mapping[str, FeatureView],
    used: Mapping[str, FeatureView],
    warnings: list[str],
) -> Selection:
    """Read one entry: a list of features, or a mapping that names the view behind an alias."""
    is_alias = isinstance(value, Mapping)
    block = Block(value if is_alias else {"features": value}, at, allowed=("view", "keys", "features"))
    reference = block.text("view") or name
    view = _resolve(reference, at, views, used, warnings)
    features = name_list(block.values.get("features"), at.at("features"))
    known = [feature.name for feature in view.features]
    for feature in features:
        if feature not in known:
            raise at.error(f"{view.reference} has no feature {feature!r}{did_you_mean(feature, known)}")
    alias = name if is_alias and reference != name else view.name
    return Selection(view=view, alias=alias, features=features, spine_keys=_spine_keys(view, block))


def _resolve(
    reference: str,
    at: Location,
    views: Mapping[str, FeatureView],
    used: Mapping[str, FeatureView],
    warnings: list[str],
) -> FeatureView:
    """Find a view; without a version it is the one that `depends_on` resolved to."""
    named = [view for view in views.values() if reference in (view.reference, view.name)]
    if not named:
        raise at.error(f"no feature view is called {reference!r}{did_you_mean(reference, views)}")
    found = [view for view in named if view.relation.unique_id in used]
    if not found:
        version = f", v={named[0].version}" if named[0].version else ""
        raise at.error(f"{reference} is missing from depends_on; add ref('{named[0].name}'{version})")
    if len(found) > 1:
        raise at.error(f"depends_on names several versions of {reference}; write {_listed(found)}")
    if found[0].version is not None and reference == found[0].name:
        warnings.append(f"{at}: {reference} is not pinned; it means {found[0].reference}, as depends_on resolved it")
    return found[0]


def _listed(views: Iterable[FeatureView]) -> str:
    return " or ".join(sorted(view.reference for view in views))


def _spine_keys(view: FeatureView, block: Block) -> tuple[str, ...]:
    """Name the spine's columns for the view's join keys, in their order."""
    keys = block.named_names("keys")
    entities = {entity.name: entity for entity in view.entities}
    renamed: dict[str, str] = {}
    for name, columns in keys.items():
        at = block.location.at(f"keys.{name}")
        if name not in entities:
            raise at.error(f"{view.reference} has no entity {name!r}{did_you_mean(name, entities)}")
        join_keys = entities[name].join_keys
        if len(columns) != len(join_keys):
            raise at.error(f"{name} has {len(join_keys)} join keys ({', '.join(join_keys)}), not {len(columns)}")
        renamed.update(zip(join_keys, columns, strict=True))
    return tuple(renamed.get(key, key) for key in view.join_keys)
