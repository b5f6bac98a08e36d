"""Reads dbt's `manifest.json` and `catalog.json`: every field is optional here, and unknown ones are ignored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from feature_sync.dbt.artifacts import decode, decode_artifact
from feature_sync.definitions import Column, Relation
from feature_sync.errors import Location, ProjectError
from feature_sync.value_types import as_utc

_SCHEMAS = ("manifest/v12.json",)
Text = str | None


class Metadata(msgspec.Struct):
    """What an artifact says of itself."""

    dbt_schema_version: Text = None
    dbt_version: Text = None
    generated_at: Text = None
    invocation_id: Text = None
    project_name: Text = None
    adapter_type: Text = None


class ColumnNode(msgspec.Struct):
    """A column of a model's YAML."""

    name: Text = None
    data_type: Text = None
    description: Text = None
    quote: bool | None = None
    config: dict[str, Any] | None = None
    constraints: list[dict[str, Any]] | None = None

    @property
    def meta(self) -> dict[str, Any]:
        """`config.meta`, the only place where every dbt version allows it."""
        meta = (self.config or {}).get("meta")
        return meta if isinstance(meta, dict) else {}


class DependsOn(msgspec.Struct):
    """The nodes that a node reads from."""

    nodes: list[str] | None = None


class Node(msgspec.Struct):
    """A model, seed, snapshot, test or exposure: the fields that this package reads."""

    unique_id: Text = None
    name: Text = None
    resource_type: Text = None
    package_name: Text = None
    fqn: list[str] | None = None
    relation_name: Text = None
    source_name: Text = None
    original_file_path: Text = None
    patch_path: Text = None
    description: Text = None
    version: str | int | float | None = None
    latest_version: str | int | float | None = None
    columns: dict[str, ColumnNode] | None = None
    config: dict[str, Any] | None = None
    depends_on: DependsOn | None = None
    type: Text = None
    owner: dict[str, Any] | None = None
    url: Text = None
    label: Text = None
    deprecation_date: Text = None
    group: Text = None
    access: Text = None
    freshness: dict[str, Any] | None = None
    attached_node: Text = None
    column_name: Text = None
    block_contents: Text = None
    test_metadata: dict[str, Any] | None = None
    constraints: list[dict[str, Any]] | None = None

    @property
    def meta(self) -> dict[str, Any]:
        """`config.meta`, empty where there is none."""
        meta = (self.config or {}).get("meta")
        return meta if isinstance(meta, dict) else {}

    @property
    def parents(self) -> list[str]:
        """The unique ids of the nodes that this one reads from."""
        return (self.depends_on and self.depends_on.nodes) or []

    @property
    def location(self) -> Location:
        """The YAML file that describes the node, or else the node's own file."""
        file = (self.patch_path or "").partition("://")[2] or self.original_file_path or "manifest.json"
        return Location(file, self.unique_id or "")

    @property
    def deprecated_from(self) -> datetime | None:
        """The moment of dbt's `deprecation_date`, if it is one."""
        try:
            return as_utc(datetime.fromisoformat(self.deprecation_date)) if self.deprecation_date else None
        except ValueError:
            return None

    @property
    def reference(self) -> str:
        """The name with its version, as services write it."""
        return self.name or "" if self.version is None else f"{self.name}.v{self.version}"

    @property
    def has_contract(self) -> bool:
        """Whether dbt enforces the declared columns and types."""
        contract = (self.config or {}).get("contract")
        return isinstance(contract, dict) and contract.get("enforced") is True

    @property
    def is_table(self) -> bool:
        """Whether the warehouse stores the rows, as it does not those of a view."""
        return (self.config or {}).get("materialized") in ("table", "incremental", "snapshot", "seed")

    @property
    def enforced_keys(self) -> list[list[str]]:
        """The column lists that the warehouse keeps unique, each of which it also indexes."""
        if not self.has_contract or (self.config or {}).get("materialized") not in ("table", "incremental"):
            return []
        return [*self.constrained("primary_key"), *self.constrained("unique")]

    def constrained(self, kind: str) -> list[list[str]]:
        """The column lists of the constraints of one type; what is no list of names counts as none."""
        found = [each for each in self.constraints or [] if each.get("type") == kind]
        return [names for each in found if (names := _names(each.get("columns")))]

    @property
    def test_name(self) -> str:
        """The name of the generic test that a test is one of; empty where it is none."""
        name = (self.test_metadata or {}).get("name")
        return name if isinstance(name, str) else ""

    @property
    def test_arguments(self) -> dict[str, Any]:
        """What a generic test is called with."""
        arguments = (self.test_metadata or {}).get("kwargs")
        return arguments if isinstance(arguments, dict) else {}

    @property
    def indexes(self) -> list[list[str]]:
        """The column lists of the ordered indexes that the model's configuration asks for."""
        indexes = (self.config or {}).get("indexes")
        found = [each for each in indexes if isinstance(each, dict)] if isinstance(indexes, list) else []
        ordered = [each for each in found if str(each.get("type") or "btree").lower() == "btree"]
        return [names for each in ordered if (names := _names(each.get("columns")))]

    def relation(self, types: dict[str, str]) -> Relation:
        """Describe the table that dbt builds; declared types count only where a contract enforces them."""
        declared = {
            name: Column(
                name=column.name or name,
                data_type=column.data_type if self.has_contract else None,
                stored_as=column.name or name if column.quote else None,
                description=column.description or "",
                is_label=column.meta.get("label") is True,
                is_left_out=column.meta.get("feature") is False,
            )
            for name, column in (self.columns or {}).items()
        }
        event_time = (self.config or {}).get("event_time")
        relation = Relation(
            name=self.relation_name or "",
            unique_id=self.unique_id or "",
            location=self.location,
            columns={column.name: column for column in declared.values()},
            description=self.description or "",
            columns_are_complete=self.has_contract and all(each.data_type for each in declared.values()),
            is_table=self.is_table,
            event_time=str(event_time) if event_time else None,
        )
        return relation.with_types(types) if types and not relation.columns_are_complete else relation


class ManifestFile(msgspec.Struct):
    """The manifest as it stands in the file; nodes stay undecoded until somebody asks for one."""

    metadata: Metadata | None = None
    nodes: dict[str, msgspec.Raw] | None = None
    sources: dict[str, msgspec.Raw] | None = None
    exposures: dict[str, msgspec.Raw] | None = None
    disabled: dict[str, msgspec.Raw] | None = None
    docs: dict[str, msgspec.Raw] | None = None
    groups: dict[str, msgspec.Raw] | None = None
    unit_tests: dict[str, msgspec.Raw] | None = None
    parent_map: dict[str, list[str]] | None = None
    child_map: dict[str, list[str]] | None = None


class Manifest:
    """The nodes of one `manifest.json`, decoded when they are asked for."""

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

    def node(self, unique_id: str) -> Node | None:
        """Decode one node, source, exposure, docs block, group or unit test; None where there is none of that id."""
        raw = self._nodes.get(unique_id) or self._exposures.get(unique_id) or self._others.get(unique_id)
        return None if raw is None else decode(bytes(raw), Node, self.path, node=unique_id)

    @property
    def docs_blocks(self) -> list[str]:
        """The unique ids of all docs blocks, those of installed packages and of dbt itself too."""
        return list(self._docs)

    def tests_of(self, unique_id: str) -> list[str]:
        """The unique ids of a node's data tests and unit tests."""
        return [each for each in self.children.get(unique_id, []) if each.startswith(("test.", "unit_test."))]

    def ancestors(self, unique_id: str) -> set[str]:
        """The unique ids of all nodes that a node is made from, directly or not."""
        found: set[str] = set()
        todo = [unique_id]
        while todo:
            parents = set(self.parents.get(todo.pop(), [])) - found
            found |= parents
            todo += parents
        return found

    def reference(self, unique_id: str) -> str:
        """Write how a dbt model refers to a node or a source, in Jinja."""
        node = self.node(unique_id) or Node()
        if node.resource_type == "source":
            return f"{{{{ source('{node.source_name}', '{node.name}') }}}}"
        package = [] if node.package_name == self.metadata.project_name else [f"'{node.package_name}'"]
        version = [] if node.version is None else [f"v={node.version!r}"]
        return f"{{{{ ref({', '.join([*package, repr(node.name), *version])}) }}}}"

    def nodes_that_mention(self, word: str) -> Iterator[Node]:
        """Decode only the nodes whose JSON holds a word, between quotation marks."""
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
        """The unique ids of everything with rows, by the names that a person types; the root project's come first."""
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
        ProjectError: The file is missing, cut off, or of a version that this package does not know.
    """
    content = decode_artifact(path, ManifestFile)
    schema = (content.metadata and content.metadata.dbt_schema_version) or "of no known version"
    if not schema.endswith(_SCHEMAS):
        found = schema.rpartition("/dbt/")[2] or schema
        raise ProjectError(f"{path} is {found}, but feature-sync reads {_SCHEMAS[0]}; build with dbt-core 1.10 or 1.11")
    return Manifest(path, content)


class CatalogNode(msgspec.Struct):
    """The columns of one relation, as the warehouse reported them."""

    columns: dict[str, dict[str, Any]] | None = None


class CatalogFile(msgspec.Struct):
    """What `dbt docs generate` learnt from the warehouse."""

    metadata: Metadata | None = None
    nodes: dict[str, CatalogNode] | None = None


def read_catalog(path: Path, manifest: Manifest) -> dict[str, dict[str, str]]:
    """Read the columns' types by unique id; empty where there is no catalog as young as the manifest.

    Raises:
        ProjectError: The file is cut off.
    """
    if not path.exists():
        return {}
    content = decode_artifact(path, CatalogFile, cure="run dbt docs generate again, or delete it")
    generated_at = (content.metadata and content.metadata.generated_at) or ""
    if generated_at < (manifest.metadata.generated_at or ""):
        return {}
    return {
        unique_id: {name: str(column.get("type")) for name, column in (node.columns or {}).items()}
        for unique_id, node in (content.nodes or {}).items()
    }


def parts_of(unique_id: str) -> tuple[str, str, str]:
    """Split a unique id into kind, package and name; what it lacks is empty."""
    kind, package, name, *_ = (*unique_id.split(".", 2), "", "")
    return kind, package, name


def _names(value: object) -> list[str]:
    """Read a list of columns; none where anything else stands in it."""
    return value if isinstance(value, list) and all(isinstance(each, str) for each in value) else []
