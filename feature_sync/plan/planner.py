"""Makes a plan of two states of a project."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from feature_sync.dbt.manifest import Manifest
from feature_sync.definitions import FeatureService, FeatureView, Registry
from feature_sync.plan.definitions import feature_reasons, readers_of, service_reasons, view_reasons
from feature_sync.plan.nodes import NodeChanges, State
from feature_sync.plan.plan import Plan, PlannedDefinition, PlannedFeature, PlannedView
from feature_sync.plan.verdict import Reason, Verdict, breaking, worst
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.types import with_normal_types

_LARGE_SEED = "seeds of more than 1 MB are compared by their path, since dbt keeps no checksum of them: "


@dataclass(frozen=True, slots=True)
class Definitions:
    """One state of a project: what dbt wrote, and the definitions in it."""

    manifest: Manifest
    registry: Registry


def make_plan(old: Definitions, new: Definitions, *, dialect: Dialect, selected: Collection[str] | None = None) -> Plan:
    """Compare a project with another state of it.

    Args:
        old: The other state, such as what is in production.
        new: The project.
        dialect: The dialect of both.
        selected: The unique ids of the views to plan; all if None.

    Raises:
        ProjectError: A node is not of the shape that dbt writes.
    """
    return _Planner(old, new, dialect, selected).plan()


class _Planner:
    def __init__(self, old: Definitions, new: Definitions, dialect: Dialect, selected: Collection[str] | None) -> None:
        self._old, self._new = (_views(each, dialect, selected) for each in (old, new))
        self._services = old.registry.feature_services, new.registry.feature_services
        self._selected = selected
        self._disabled = new.manifest.disabled
        self._states = tuple(
            State(each.manifest, _with_ancestors(each.manifest, views), dialect.name)
            for each, views in ((old, self._old.values()), (new, self._new.values()))
        )
        self._nodes = NodeChanges(*self._states)

    def plan(self) -> Plan:
        views = tuple(self._view(each) for each in sorted(self._old.keys() | self._new.keys()))
        return Plan(
            feature_views=views,
            entities=tuple(self._entities(views)),
            feature_services=tuple(self._feature_services(views)),
            notes=tuple(self._notes()),
        )

    def _readers(self, reference: str, feature: str | None = None) -> list[str]:
        return readers_of(self._services[0].values(), reference, feature)

    def _view(self, reference: str) -> PlannedView:
        old, new = self._old.get(reference), self._new.get(reference)
        if new is None:
            return self._removed(reference, self._old[reference])
        if old is None:
            features = tuple(_feature(each.name, Reason(verdict=Verdict.SAFE, text="is new")) for each in new.features)
            return PlannedView(name=reference, reasons=(self._new_view(new),), features=features, is_new=True)
        reasons = [*view_reasons(old, new, self._readers(reference))]
        shape = (
            {(each.name, repr(each.default)) for each in old.features},
            {(e.name, repr(e.default)) for e in new.features},
        )
        if shape[0] != shape[1]:
            reasons.append(Reason(verdict=Verdict.RE_PUSH, text="its rows have other features or defaults"))
        reasons += self._rows(new)
        names = dict.fromkeys(each.name for each in (*new.features, *old.features))
        features = tuple(self._feature(old, new, name, reasons) for name in names)
        return PlannedView(name=reference, reasons=tuple(reasons), features=features)

    def _rows(self, view: FeatureView) -> list[Reason]:
        """Return why the view may have other rows: its table, its keys or its times."""
        unique_id = view.relation.unique_id
        if unique_id not in self._states[1].nodes:
            return []
        if (rows := self._nodes.rows(unique_id)) is not None:
            return [rows]
        columns = (*view.join_keys, *view.times)
        return list(dict.fromkeys(why for each in columns if (why := self._nodes.column(unique_id, each)) is not None))

    def _feature(self, old: FeatureView, new: FeatureView, name: str, of_view: Iterable[Reason]) -> PlannedFeature:
        reasons = [*feature_reasons(old, new, name, self._readers(new.reference, name))]
        is_kept = all(any(each.name == name for each in view.features) for view in (old, new))
        if is_kept and new.relation.unique_id in self._states[1].nodes:
            why = self._nodes.column(new.relation.unique_id, name)
            reasons += [why] if why is not None else []
        if is_kept:
            reasons += [self._for_feature(each, new.reference, name) for each in of_view if _reaches_features(each)]
        return _feature(name, *dict.fromkeys(reasons))

    def _for_feature(self, reason: Reason, reference: str, name: str) -> Reason:
        """Return a reason of the whole view for one of its features: it breaks those that read this feature."""
        if reason.verdict is not Verdict.BREAKING:
            return reason
        otherwise = Verdict.RE_PUSH if self._new[reference].online else Verdict.SAFE
        readers = set(reason.services).intersection(self._readers(reference, name))
        return breaking(reason.text, readers, otherwise=otherwise)

    def _new_view(self, view: FeatureView) -> Reason:
        gone = [each for each in self._old.keys() - self._new.keys() if _features(self._old[each]) == _features(view)]
        text = (
            f"is new, with the features of {gone[0]}: a renamed view is another one to its readers"
            if gone
            else "is new"
        )
        return Reason(verdict=Verdict.SAFE, text=text)

    def _removed(self, reference: str, view: FeatureView) -> PlannedView:
        text = "is disabled" if view.relation.unique_id in self._disabled else "is removed"
        reason = breaking(text, self._readers(reference), otherwise=Verdict.SAFE)
        features = [
            _feature(each.name, breaking(text, self._readers(reference, each.name), otherwise=Verdict.SAFE))
            for each in view.features
        ]
        return PlannedView(name=reference, reasons=(reason,), features=tuple(features))

    def _entities(self, views: Iterable[PlannedView]) -> Iterable[PlannedDefinition]:
        """Plan the entities: each is as bad as what happens to its keys and, for its views, to their names."""
        planned = {each.name: each for each in views}
        described = [_by_entity(each) for each in (self._old, self._new)]
        for name in sorted(described[0].keys() | described[1].keys()):
            if name not in described[0]:
                yield PlannedDefinition(name=name, reasons=(Reason(verdict=Verdict.SAFE, text="is new"),))
                continue
            gone = [each for each in described[0][name] if each not in described[1].get(name, [])]
            reasons = [
                breaking(f"no longer describes {each}", planned[each].broken_services, otherwise=Verdict.SAFE)
                for each in gone
            ]
            kept = [each for each in described[0][name] if each not in gone]
            reasons += [
                Reason(verdict=why.verdict, text=f"{each}: {why.text}", services=why.services)
                for each in kept
                for why in planned[each].reasons
                if why.of_keys
            ]
            yield PlannedDefinition(name=name, reasons=tuple(reasons))

    def _feature_services(self, views: Iterable[PlannedView]) -> Iterable[PlannedDefinition]:
        planned = {each.name: {feature.name: feature for feature in each.features} for each in views}
        before, after = self._services
        for name in sorted(before.keys() | after.keys()):
            if self._selected is not None and not _uses(before.get(name) or after[name], planned):
                continue
            if name not in before:
                yield PlannedDefinition(name=name, reasons=(Reason(verdict=Verdict.SAFE, text="is new"),))
            elif name not in after:
                yield PlannedDefinition(name=name, reasons=(breaking("is removed", [name]),))
            else:
                reasons = [*service_reasons(before[name], after[name]), *_of_features(before[name], planned)]
                yield PlannedDefinition(name=name, reasons=tuple(reasons))

    def _notes(self) -> Iterable[str]:
        seeds = [each for each, node in self._states[1].nodes.items() if _is_large_seed(self._states[1], each)]
        if seeds:
            yield _LARGE_SEED + ", ".join(sorted(each.rpartition(".")[2] for each in seeds))


def _views(state: Definitions, dialect: Dialect, selected: Collection[str] | None) -> dict[str, FeatureView]:
    return {
        reference: with_normal_types(view, dialect=dialect)
        for reference, view in state.registry.feature_views.items()
        if selected is None or view.relation.unique_id in selected
    }


def _with_ancestors(manifest: Manifest, views: Iterable[FeatureView]) -> set[str]:
    found: set[str] = set()
    waiting = [view.relation.unique_id for view in views]
    while waiting:
        unique_id = waiting.pop()
        if unique_id not in found and (node := manifest.compiled(unique_id)) is not None:
            found.add(unique_id)
            waiting += node.parents
    return found


def _feature(name: str, *reasons: Reason) -> PlannedFeature:
    return PlannedFeature(name=name, reasons=reasons)


def _features(view: FeatureView) -> list[str]:
    return [each.name for each in view.features]


def _reaches_features(reason: Reason) -> bool:
    """True if a reason of a whole view means other values; one that only sends rows again does not."""
    return reason.verdict.rank > Verdict.RE_PUSH.rank


def _by_entity(views: dict[str, FeatureView]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for reference, view in views.items():
        for entity in view.entities:
            found.setdefault(entity.name, []).append(reference)
    return found


def _uses(service: FeatureService, planned: dict[str, dict[str, PlannedFeature]]) -> bool:
    return any(each.view.reference in planned for each in service.selections)


def _of_features(service: FeatureService, planned: dict[str, dict[str, PlannedFeature]]) -> Iterable[Reason]:
    """Yield what is worst of each feature that a service reads, once for features that share it.

    What breaks another service is no harm here.
    """
    found: dict[tuple[str, Verdict, str], list[str]] = {}
    for selection in service.selections:
        reference = selection.view.reference
        for name in selection.features:
            feature = planned.get(reference, {}).get(name)
            reasons = [r for r in (feature.reasons if feature else ()) if not r.services or service.name in r.services]
            verdict = worst(each.verdict for each in reasons)
            if verdict not in (Verdict.SAME, Verdict.SAFE):
                text = next(each.text for each in reasons if each.verdict is verdict)
                found.setdefault((reference, verdict, text), []).append(name)
    for (reference, verdict, text), names in found.items():
        services = (service.name,) if verdict is Verdict.BREAKING else ()
        told = text if text.startswith(f"{reference}.{names[0]} ") else f"{reference} ({', '.join(names)}): {text}"
        yield Reason(verdict=verdict, text=told, services=services)


def _is_large_seed(state: State, unique_id: str) -> bool:
    node = state.nodes[unique_id]
    name = getattr(node.checksum, "name", None)
    return node.resource_type == "seed" and name == "path"
