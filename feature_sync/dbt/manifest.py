"""Reads dbt's `manifest.json`: all fields are optional, and unknown ones are ignored."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from feature_sync.dbt.artifacts import decode, decode_artifact
from feature_sync.dbt.code import Code
from feature_sync.dbt.compiled import CompiledNode
from feature_sync.dbt.node import Node, parts_of
from feature_sync.errors import ProjectError

_SCHEMAS = ("manifest/v12.json",)


class Metadata(msgspec.Struct):
    """The metadata of an artifact: its schema, the dbt invocation that wrote it, and when."""

    dbt_schema_version: str | None = None
    dbt_version: str | None = None
    generated_at: str | None = None
    invocation_id: str | None = None
    project_name: str | None = None
    adapter_type: str | None = None


class ManifestFile(msgspec.Struct):
    """The content of the manifest's file; nodes and macros are decoded on demand."""

    metadata: Metadata | None = None
    nodes: dict[str, msgspec.Raw] | None = None
    sources: dict[str, msgspec.Raw] | None = None
    exposures: dict[str, msgspec.Raw] | None = None
    disabled: dict[str, msgspec.Raw] | None = None
    docs: dict[str, msgspec.Raw] | None = None
    groups: dict[str, msgspec.Raw] | None = None
    unit_tests: dict[str, msgspec.Raw] | None = None
    functions: dict[str, msgspec.Raw] | None = None
    macros: dict[str, msgspec.Raw] | None = None
    parent_map: dict[str, list[str]] | None = None
    child_map: dict[str, list[str]] | None = None


class Manifest:
    """The nodes of one `manifest.json`, decoded on demand."""

    def __init__(self, path: Path, content: ManifestFile) -> None:
        self.path = path
        self.metadata = content.metadata or Metadata()
        self.parents = content.parent_map or {}
        self.children = content.child_map or {}
        self.disabled = frozenset(content.disabled or ())
        self._exposures = content.exposures or {}
        self._docs = content.docs or {}
        self._others = {**self._docs, **(content.groups or {}), **(content.unit_tests or {})}
        self._nodes = {**(content.nodes or {}), **(content.sources or {})}
        self._functions = content.functions or {}
        self._macros = content.macros or {}

    def __repr__(self) -> str:
        return f"Manifest({str(self.path)!r})"

    def node(self, unique_id: str) -> Node | None:
        """Decode one node, source, exposure, docs block, group or unit test; None if the manifest has no such id.

        Raises:
            ProjectError: The node is not of the shape that dbt writes.
        """
        raw = self._nodes.get(unique_id) or self._exposures.get(unique_id) or self._others.get(unique_id)
        return None if raw is None else decode(bytes(raw), Node, self.path, node=unique_id)

    def code(self, unique_id: str) -> Code | None:
        """Decode the code of one model, seed, snapshot or function; None if the manifest has no such id.

        Raises:
            ProjectError: The node is not of the shape that dbt writes.
        """
        raw = self._nodes.get(unique_id) or self._functions.get(unique_id)
        return None if raw is None else decode(bytes(raw), Code, self.path, node=unique_id)

    def compiled(self, unique_id: str) -> CompiledNode | None:
        """Decode what decides the rows of one node or source; None if the manifest has no such id.

        Raises:
            ProjectError: The node is not of the shape that dbt writes.
        """
        raw = self._nodes.get(unique_id) or self._functions.get(unique_id)
        return None if raw is None else decode(bytes(raw), CompiledNode, self.path, node=unique_id)

    def macro(self, unique_id: str) -> Code | None:
        """Decode the code of one macro; None if the manifest has no such id.

        Raises:
            ProjectError: The macro is not of the shape that dbt writes.
        """
        raw = self._macros.get(unique_id)
        return None if raw is None else decode(bytes(raw), Code, self.path, node=unique_id)

    @property
    def macro_ids(self) -> Collection[str]:
        """The unique ids of all macros, including those of installed packages and of dbt itself."""
        return self._macros.keys()

    @property
    def docs_blocks(self) -> list[str]:
        """The unique ids of all docs blocks, including those of installed packages and of dbt itself."""
        return list(self._docs)

    def tests_of(self, unique_id: str) -> list[str]:
        """Return the unique ids of a node's data tests and unit tests."""
        return [each for each in self.children.get(unique_id, []) if each.startswith(("test.", "unit_test."))]

    def ancestors(self, unique_id: str) -> set[str]:
        """Return the unique ids of all nodes on which a node depends, directly or not."""
        found: set[str] = set()
        todo = [unique_id]
        while todo:
            parents = set(self.parents.get(todo.pop(), [])) - found
            found |= parents
            todo += parents
        return found

    def reference(self, unique_id: str) -> str:
        """Return the Jinja with which a dbt model refers to a node (`ref`) or a source (`source`)."""
        node = self.node(unique_id) or Node()
        if node.resource_type == "source":
            return f"{{{{ source('{node.source_name}', '{node.name}') }}}}"
        package = [] if node.package_name == self.metadata.project_name else [f"'{node.package_name}'"]
        version = [] if node.version is None else [f"v={node.version!r}"]
        return f"{{{{ ref({', '.join([*package, repr(node.name), *version])}) }}}}"

    def nodes_that_mention(self, word: str) -> Iterator[Node]:
        """Decode only the nodes whose JSON contains a word in double quotes: decoding all of them takes long."""
        wanted = f'"{word}"'.encode()
        for unique_id, raw in self._nodes.items():
            if wanted in memoryview(raw).tobytes():
                yield decode(bytes(raw), Node, self.path, node=unique_id)

    def exposures(self) -> Iterator[Node]:
        """Decode all exposures."""
        for unique_id, raw in self._exposures.items():
            yield decode(bytes(raw), Node, self.path, node=unique_id)

    def nodes_and_exposures(self) -> Iterator[Node]:
        """Decode everything that may have `meta`."""
        for unique_id, raw in (*self._nodes.items(), *self._exposures.items()):
            yield decode(bytes(raw), Node, self.path, node=unique_id)

    def relations(self) -> dict[str, str]:
        """Return the unique ids of models, seeds, snapshots and sources by name; the root project's names win."""
        ids: dict[str, str] = {}
        root = self.metadata.project_name
        for unique_id in sorted(self._nodes, key=lambda each: parts_of(each)[1] != root):
            kind, _, name = parts_of(unique_id)
            if name and kind in ("model", "seed", "snapshot", "source"):
                ids.setdefault(name, unique_id)
        return ids


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        ProjectError: The file is missing, truncated, or of an unsupported version.
    """
    content = decode_artifact(path, ManifestFile)
    schema = (content.metadata and content.metadata.dbt_schema_version) or "of no known version"
    if not schema.endswith(_SCHEMAS):
        found = schema.rpartition("/dbt/")[2] or schema
        raise ProjectError(f"{path} is {found}, but feature-sync reads {_SCHEMAS[0]}; build with dbt-core 1.10 or 1.11")
    return Manifest(path, content)
