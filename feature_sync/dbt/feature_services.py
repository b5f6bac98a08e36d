"""Turns a dbt exposure whose `config.meta.feature_service` is a mapping into a feature service."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from feature_sync.dbt.block import Block, name_list
from feature_sync.dbt.node import Node
from feature_sync.definitions import FeatureService, FeatureView, Selection, deprecation, with_unique_aliases
from feature_sync.errors import Findings, Location, did_you_mean

SERVICE = ("features", "full_names")
SELECTION = ("view", "keys", "features")


def read_feature_service(
    node: Node, views: Mapping[str, FeatureView], findings: Findings, *, wrong_views: Collection[str] = ()
) -> FeatureService | None:
    """Read one exposure, and note all mistakes that are independent of each other; None if it has a mistake.

    Args:
        node: The exposure.
        views: The feature views, by reference.
        findings: Receives the mistakes, and warnings of versions that are deprecated or not pinned.
        wrong_views: The references of views that could not be read. What a service selects from them is not checked,
            which is a warning.
    """
    reader = _ServiceReader(node, views, wrong_views)
    service = reader.read()
    findings.note(*reader.findings)
    return service


class _ServiceReader:
    """Reads one exposure."""

    def __init__(self, node: Node, views: Mapping[str, FeatureView], wrong_views: Collection[str]) -> None:
        self.findings = Findings()
        self._node = node
        self._at = node.location.at("config.meta.feature_service")
        self._views = views
        self._used = {
            each.relation.unique_id: each for each in views.values() if each.relation.unique_id in node.parents
        }
        self._wrong_views = wrong_views
        self._listed: set[str] = set()

    def read(self) -> FeatureService | None:
        node, findings = self._node, self.findings
        block = findings.attempt(
            None, Block, node.meta["feature_service"], self._at, allowed=SERVICE, findings=findings
        )
        if block is None:
            return None
        if node.type != "ml":
            findings.note(node.location.at("type").mistake(f"must be ml for a feature service, not {node.type!r}"))
        full_names = findings.attempt(False, block.flag, "full_names", default=False)
        chosen = findings.attempt({}, _chosen, block)
        selections = [self._selection(str(name), value, block.at(f"features.{name}")) for name, value in chosen.items()]
        if not findings.errors:
            self._note_unlisted(block.at("features"))
        if findings.errors:
            return None
        owner = node.owner or {}
        service = FeatureService(
            name=node.name or "",
            selections=with_unique_aliases(each for each in selections if each is not None),
            full_names=full_names,
            description=node.description or "",
            owner=" ".join(str(owner[key]) for key in ("name", "email") if owner.get(key)),
            location=self._at,
            warnings=findings.warnings,
        )
        return findings.attempt(None, service.checked)

    def _note_unlisted(self, at: Location) -> None:
        """Note views of `depends_on` from which the service selects no feature."""
        for view in self._used.values():
            if view.reference not in self._listed:
                self.findings.note(at.mistake(f"{view.reference} is in depends_on, but no feature of it is listed"))

    def _selection(self, name: str, value: Any, at: Location) -> Selection | None:
        """Read one entry: a list of features, or a mapping that names the view behind an alias.

        None if the entry is wrong, which is noted, or its view is.
        """
        findings = self.findings
        is_alias = isinstance(value, Mapping)
        values = value if is_alias else {"features": value}
        block = Block(values, at, allowed=SELECTION, findings=findings)
        listed = at.at("features") if is_alias else at
        features = findings.attempt((), name_list, values.get("features"), listed)
        keys = findings.attempt(None, block.named_names, "keys")
        view = findings.attempt(None, self._view, block, name)
        if view is None:
            return None
        known = [feature.name for feature in view.features]
        for feature in features:
            if feature not in known:
                mark = view.relation.mark_of(feature)
                reason = f"; it says {mark}" if mark else did_you_mean(feature, known)
                findings.note(listed.at(feature).mistake(f"{view.reference} has no feature {feature!r}{reason}"))
        alias = name if is_alias and block.text("view") not in (None, name) else view.name
        spine_keys = findings.attempt((), _spine_keys, view, keys or {}, at)
        return Selection(view=view, alias=alias, features=features, spine_keys=spine_keys)

    def _view(self, block: Block, name: str) -> FeatureView | None:
        """Return a view; without a version, the one to which `depends_on` resolved. None if that view is wrong."""
        reference, at = block.text("view") or name, block.location
        named = [view for view in self._views.values() if reference in (view.reference, view.name)]
        found = [view for view in named if view.relation.unique_id in self._used]
        if not found and any(reference in (each, each.rpartition(".v")[0]) for each in self._wrong_views):
            self.findings.note(at.warning(f"not checked, because the feature view {reference} has errors"))
            return None
        if not named:
            raise at.error(f"no feature view is called {reference!r}{did_you_mean(reference, self._views)}")
        if not found:
            version = f", v={named[0].version}" if named[0].version else ""
            raise at.error(f"{reference} is missing from depends_on; add ref('{named[0].name}'{version})")
        self._listed |= {view.reference for view in found}
        if len(found) > 1:
            raise at.error(f"depends_on names several versions of {reference}; write {_listed(found)}")
        view = found[0]
        if view.version is not None and reference == view.name:
            resolved = f"{reference} is not pinned; it means {view.reference}, as depends_on resolved it"
            self.findings.note(at.warning(resolved))
        self._warn_of_deprecation(view, at)
        return view

    def _warn_of_deprecation(self, view: FeatureView, at: Location) -> None:
        if notice := deprecation(view, self._views.values(), today=datetime.now(UTC)):
            self.findings.note(at.warning(notice))


def _chosen(block: Block) -> Mapping[Any, Any]:
    """Return the block's mapping from views to their features."""
    chosen, at = block.values.get("features"), block.at("features")
    if not chosen:
        raise at.error("is missing: map each feature view to a list of its features")
    if not isinstance(chosen, Mapping):
        raise at.error(f"must map each feature view to a list of its features, not be {chosen!r}")
    return chosen


def _listed(views: Iterable[FeatureView]) -> str:
    return " or ".join(sorted(view.reference for view in views))


def _spine_keys(view: FeatureView, keys: Mapping[str, tuple[str, ...]], at: Location) -> tuple[str, ...]:
    """Return the spine's columns for the view's join keys, in their order."""
    entities = {entity.name: entity for entity in view.entities}
    renamed: dict[str, str] = {}
    for name, columns in keys.items():
        here = at.at(f"keys.{name}")
        if name not in entities:
            raise here.error(f"{view.reference} has no entity {name!r}{did_you_mean(name, entities)}")
        join_keys = entities[name].join_keys
        if len(columns) != len(join_keys):
            raise here.error(f"{name} has {len(join_keys)} join keys ({', '.join(join_keys)}), not {len(columns)}")
        renamed.update(zip(join_keys, columns, strict=True))
    return tuple(renamed.get(key, key) for key in view.join_keys)
