"""Reads what a project declares about a node's columns: by tests, constraints and unique keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from feature_sync.dbt.manifest import Manifest
from feature_sync.dbt.node import Node
from feature_sync.dbt.run_results import unique_columns

_REFERENCES = ("relationships", "is_key_of")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredKey:
    """Columns that are declared unique together, and the test, constraint or setting that declares it."""

    columns: frozenset[str]
    reason: str


def declared_keys(node: Node, manifest: Manifest) -> list[DeclaredKey]:
    """Return the unique keys of a node, best evidence first: for a snapshot its `unique_key`, on which dbt relies."""
    others = [*_of_constraints(node), *_of_tests(node, manifest)]
    configured = list(_of_configuration(node))
    return [*configured, *others] if node.resource_type == "snapshot" else [*others, *configured]


def related_nodes(node: Node, manifest: Manifest) -> dict[str, str]:
    """Map each column that a test such as `relationships` checks to the name of the node that lists its values."""
    found: dict[str, str] = {}
    for unique_id in manifest.tests_of(node.unique_id or ""):
        test = manifest.node(unique_id) or Node()
        column = test.test_arguments.get("column_name")
        others = [each for each in test.parents if each != node.unique_id]
        if test.test_name in _REFERENCES and test.attached_node == node.unique_id and column and others:
            other = manifest.node(others[0]) or Node()
            found.setdefault(str(column).strip('"`'), other.name or "")
    return found


def _of_constraints(node: Node) -> Iterator[DeclaredKey]:
    for kind in ("primary_key", "unique"):
        columns = (node.columns or {}).items()
        single = [
            [name] for name, column in columns if any(each.get("type") == kind for each in column.constraints or [])
        ]
        for names in (*node.constrained(kind), *single):
            yield DeclaredKey(columns=frozenset(names), reason=f"the constraint {kind}")


def _of_tests(node: Node, manifest: Manifest) -> list[DeclaredKey]:
    """Return keys in the order of their columns in YAML: of several unique columns the first is usually the key."""
    positions = {name: position for position, name in enumerate(node.columns or {})}
    tests = filter(None, map(manifest.node, manifest.tests_of(node.unique_id or "")))
    found = [
        DeclaredKey(columns=frozenset(columns), reason=f"the test {test.test_name}")
        for test in tests
        if (columns := unique_columns(test))
    ]
    return sorted(found, key=lambda key: sorted(positions.get(name, len(positions)) for name in key.columns))


def _of_configuration(node: Node) -> Iterator[DeclaredKey]:
    key = (node.config or {}).get("unique_key")
    names = [key] if isinstance(key, str) else key
    if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
        whose = "the snapshot's" if node.resource_type == "snapshot" else "the model's"
        yield DeclaredKey(columns=frozenset(names), reason=f"{whose} unique_key")
