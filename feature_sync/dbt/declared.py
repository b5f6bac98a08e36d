"""Reads what a project says of a node's columns for other ends: by tests, constraints and unique keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from feature_sync.dbt.manifest import Manifest, Node
from feature_sync.dbt.run_results import unique_columns

_OF_OTHERS = ("relationships", "is_key_of")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredKey:
    """Columns whose values, together, no two rows share, and who says so."""

    columns: frozenset[str]
    reason: str


def declared_keys(node: Node, manifest: Manifest) -> list[DeclaredKey]:
    """List what the project says is unique in a node, the best evidence first."""
    return [*_of_snapshot(node), *_of_constraints(node), *_of_tests(node, manifest), *_of_configuration(node)]


def related_nodes(node: Node, manifest: Manifest) -> dict[str, str]:
    """Map each column that a test such as `relationships` checks to the name of the node that lists its values."""
    found: dict[str, str] = {}
    for unique_id in manifest.tests_of(node.unique_id or ""):
        test = manifest.node(unique_id) or Node()
        column = test.test_arguments.get("column_name")
        others = [each for each in test.parents if each != node.unique_id]
        if test.test_name in _OF_OTHERS and test.attached_node == node.unique_id and column and others:
            other = manifest.node(others[0]) or Node()
            found.setdefault(str(column).strip('"`'), other.name or "")
    return found


def _of_snapshot(node: Node) -> Iterator[DeclaredKey]:
    if node.resource_type == "snapshot":
        yield from _of_configuration(node)


def _of_constraints(node: Node) -> Iterator[DeclaredKey]:
    for kind in ("primary_key", "unique"):
        for names in node.constrained(kind):
            yield DeclaredKey(columns=frozenset(names), reason=f"the constraint {kind}")
        for name, column in (node.columns or {}).items():
            if any(each.get("type") == kind for each in column.constraints or []):
                yield DeclaredKey(columns=frozenset({name}), reason=f"the constraint {kind}")


def _of_tests(node: Node, manifest: Manifest) -> Iterator[DeclaredKey]:
    """Read the tests in the order in which the columns stand, so that the first of several keys comes first."""
    order = list(node.columns or {})
    found: list[DeclaredKey] = []
    for unique_id in manifest.tests_of(node.unique_id or ""):
        test = manifest.node(unique_id)
        columns = unique_columns(test) if test is not None else set()
        if columns and test is not None:
            found.append(DeclaredKey(columns=frozenset(columns), reason=f"the test {test.test_name}"))
    places = {name: place for place, name in enumerate(order)}
    yield from sorted(found, key=lambda key: sorted(places.get(name, len(order)) for name in key.columns))


def _of_configuration(node: Node) -> Iterator[DeclaredKey]:
    key = (node.config or {}).get("unique_key")
    names = [key] if isinstance(key, str) else key
    if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
        whose = "the snapshot's" if node.resource_type == "snapshot" else "the model's"
        yield DeclaredKey(columns=frozenset(names), reason=f"{whose} unique_key")
