"""Reads what the manifest has about a feature view beyond its definition: owner, tests, sources, deprecation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from feature_sync.dbt.manifest import Manifest
from feature_sync.dbt.node import Node, parts_of
from feature_sync.definitions import FeatureView

_LONGEST_ARGUMENTS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTest:
    """A data test or a unit test; `column` is the tested column, None if it tests the whole view."""

    unique_id: str
    label: str
    column: str | None = None

    @property
    def is_unit_test(self) -> bool:
        """True if it tests the model's SQL on rows of its own, not the data."""
        return self.unique_id.startswith("unit_test.")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSource:
    """A source upstream of a view; `freshness` says in words when dbt calls it stale."""

    unique_id: str
    name: str
    freshness: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The owner of a view or a service."""

    name: str
    email: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What the manifest has about one feature view; `types` maps columns to the data types that its YAML declares."""

    owner: Owner | None
    deprecated_from: str | None
    types: Mapping[str, str]
    tests: tuple[NamedTest, ...]
    sources: tuple[UpstreamSource, ...]


def read_notes(view: FeatureView, manifest: Manifest) -> Notes:
    """Read the notes of a view from the manifest."""
    unique_id = view.relation.unique_id
    node = manifest.node(unique_id) or Node()
    sources = (name for name in manifest.ancestors(unique_id) if name.startswith("source."))
    return Notes(
        owner=_owner(node, manifest),
        deprecated_from=(node.deprecation_date or "").removesuffix("T00:00:00+00:00").removesuffix("T00:00:00") or None,
        types={name: column.data_type for name, column in (node.columns or {}).items() if column.data_type},
        tests=tuple(_test(name, unique_id, manifest) for name in sorted(manifest.tests_of(unique_id))),
        sources=tuple(_source(name, manifest) for name in sorted(sources)),
    )


def read_owner(owner: object) -> Owner | None:
    """Read an owner: a mapping with name and email, as in dbt's groups and exposures, or only a name."""
    if isinstance(owner, str) and owner.strip():
        return Owner(name=owner)
    if not isinstance(owner, Mapping):
        return None
    email = owner.get("email")
    email = ", ".join(map(str, email)) if isinstance(email, list) else email
    name = owner.get("name") or email
    return Owner(name=str(name), email=str(email) if email else None) if name else None


def _owner(node: Node, manifest: Manifest) -> Owner | None:
    """Return the owner of the view's dbt group, else its `meta.owner`."""
    group = node.group or (node.config or {}).get("group")
    found = manifest.node(f"group.{node.package_name}.{group}") if group else None
    return (read_owner(found.owner) if found else None) or read_owner(node.meta.get("owner"))


def _test(unique_id: str, tested: str, manifest: Manifest) -> NamedTest:
    """Read a test; its column counts only if it is attached to the `tested` node.

    A `relationships` test of another model depends on this node too, but names a column of that model.
    """
    node = manifest.node(unique_id) or Node()
    label = str(node.test_name or node.name or unique_id.rpartition(".")[2])
    arguments = {
        key: value
        for key, value in node.test_arguments.items()
        if key not in ("model", "column_name") and value is not None
    }
    is_of_column = node.attached_node == tested
    return NamedTest(
        unique_id=unique_id,
        label=f"{label} ({_arguments_text(arguments)})" if arguments else label,
        column=node.column_name.strip('"`') if is_of_column and node.column_name else None,
    )


def _arguments_text(arguments: Mapping[str, Any]) -> str:
    text = ", ".join(
        f"{key}: {', '.join(map(str, value)) if isinstance(value, list) else value}" for key, value in arguments.items()
    )
    return text if len(text) <= _LONGEST_ARGUMENTS else f"{text[:_LONGEST_ARGUMENTS].rstrip(' ,')} …"


def _source(unique_id: str, manifest: Manifest) -> UpstreamSource:
    node = manifest.node(unique_id) or Node()
    bounds = node.freshness or (node.config or {}).get("freshness") or {}
    bounds = bounds if isinstance(bounds, Mapping) else {}
    ages = {verb: _age(bounds.get(key)) for verb, key in (("warns", "warn_after"), ("fails", "error_after"))}
    freshness = ", ".join(f"{verb} when older than {age}" for verb, age in ages.items() if age)
    return UpstreamSource(unique_id=unique_id, name=parts_of(unique_id)[2] or unique_id, freshness=freshness)


def _age(bound: object) -> str | None:
    if not isinstance(bound, Mapping) or not bound.get("count") or not bound.get("period"):
        return None
    count, period = bound["count"], bound["period"]
    return f"{count} {period}" if count == 1 else f"{count} {period}s"
