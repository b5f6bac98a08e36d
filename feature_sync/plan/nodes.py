"""Compares the nodes above feature views: which rows and which columns may differ, followed column by column."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from feature_sync.dbt.compiled import CompiledNode
from feature_sync.dbt.logic import macros_of
from feature_sync.dbt.manifest import Manifest
from feature_sync.plan.verdict import Reason, Verdict
from feature_sync.sql.plan import ROWS, WHOLE, Form, QueryForm, Tables, UnreadableQuery, compare, form_of

_COMPILE = "run dbt compile, which writes the compiled SQL into the manifest"
_INCREMENTAL = ("incremental", "microbatch")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChange:
    """What may differ in one node. `rows` is why its rows may be others, which reaches every column."""

    rows: Reason | None = None
    columns: dict[str, Reason] | None = None

    @property
    def any(self) -> Reason | None:
        """A reason, if anything may differ."""
        return self.rows or next(iter((self.columns or {}).values()), None)


class State:
    """One manifest, with the names of its relations and the forms of its queries, each read once."""

    def __init__(self, manifest: Manifest, node_ids: Collection[str], dialect: str) -> None:
        self.manifest = manifest
        self._dialect = dialect
        self.nodes = {each: node for each in node_ids if (node := manifest.compiled(each)) is not None}
        self._forms: dict[str, QueryForm | UnreadableQuery] = {}

    @cached_property
    def relations(self) -> dict[str, str]:
        """The unique ids of nodes by the name of their relation, the longest name first."""
        named = {node.relation_name: unique_id for unique_id, node in self.nodes.items() if node.relation_name}
        return dict(sorted(named.items(), key=lambda each: -len(each[0])))

    @cached_property
    def _tables(self) -> Tables:
        known = {name: (each, self.nodes[each].column_names) for name, each in self.relations.items()}
        return Tables(self._dialect, known)

    def lasting_sql(self, unique_id: str) -> str:
        """Return the compiled SQL of a node, with unique ids instead of names of relations, and single spaces."""
        sql = self.nodes[unique_id].sql or ""
        for parent in self.nodes[unique_id].parents:
            name = self.nodes[parent].relation_name if parent in self.nodes else None
            sql = sql.replace(name, f"<{parent}>") if name else sql
        return "\n".join(line.rstrip() for line in sql.strip().splitlines())

    def form(self, unique_id: str) -> QueryForm:
        """Return the form of a node's query.

        Raises:
            UnreadableQuery: It is not understood.
        """
        if unique_id not in self._forms:
            try:
                self._forms[unique_id] = form_of(self.nodes[unique_id].sql or "", self._tables)
            except UnreadableQuery as unreadable:
                self._forms[unique_id] = unreadable
        found = self._forms[unique_id]
        if isinstance(found, UnreadableQuery):
            raise found
        return found


class NodeChanges:
    """The changes of nodes between two states."""

    def __init__(self, old: State, new: State) -> None:
        self._old = old
        self._new = new
        self._rows: dict[str, Reason | None] = {}
        self._columns: dict[tuple[str, str], Reason | None] = {}

    def rows(self, unique_id: str) -> Reason | None:
        """Return why the rows of a node may differ; None if they are proven to be the same."""
        if unique_id not in self._rows:
            self._rows[unique_id] = None  # a cycle, which dbt refuses
            self._rows[unique_id] = self._why_rows(unique_id)
        return self._rows[unique_id]

    def column(self, unique_id: str, name: str) -> Reason | None:
        """Return why the values of a column may differ in rows that do not; None if they are proven to be the same."""
        if (unique_id, name) not in self._columns:
            self._columns[unique_id, name] = None
            self._columns[unique_id, name] = self._why_column(unique_id, name)
        return self._columns[unique_id, name]

    def _why_rows(self, unique_id: str) -> Reason | None:
        if (own := self._own_rows(unique_id)) is not None or self._is_root(unique_id):
            return own
        return self._above(unique_id, None)

    def _why_column(self, unique_id: str, name: str) -> Reason | None:
        if self._is_root(unique_id):
            return None
        if (rows := self.rows(unique_id)) is not None and rows.verdict is Verdict.CANNOT_TELL:
            return rows
        if not self._is_text_equal(unique_id):
            try:
                old, new = self._old.form(unique_id), self._new.form(unique_id)
            except UnreadableQuery as unreadable:
                return _untold(f"{_called(unique_id)} {unreadable}")
            if compare(old, new, [name]).columns:
                return Reason(verdict=Verdict.MAY_CHANGE, text=f"{_called(unique_id)}.{name} is computed otherwise")
        return self._above(unique_id, name)

    def _above(self, unique_id: str, name: str | None) -> Reason | None:
        """Return why the rows or a column of a node may differ because of what it reads."""
        parents = [each for each in self._new.nodes[unique_id].parents if each in self._new.nodes]
        if not any(self._changes(each) for each in parents):
            return None
        try:
            form = self._new.form(unique_id)
        except UnreadableQuery as unreadable:
            return _untold(f"{_called(unique_id)} {unreadable}, and something above it changes")
        found = form.body if name is None else form.column(name)
        if found is None:
            return _untold(f"{_called(unique_id)} has no column {name} that its SQL names")
        return self._through(found)

    def _through(self, form: Form) -> Reason | None:
        """Return why a form may have another value: a table or a column that it reads may."""
        for table, column in sorted(form.reads):
            if table not in self._new.nodes:
                continue
            why = self.rows(table) if column == ROWS else None
            why = why or (self._changes(table) if column == WHOLE else None)
            why = why or (self.column(table, column) if column not in (ROWS, WHOLE) else None)
            if why is not None:
                return why
        return None

    def _changes(self, unique_id: str) -> Reason | None:
        """Return why anything of a node may differ, a column that is added included."""
        if (rows := self.rows(unique_id)) is not None or self._is_root(unique_id):
            return rows
        if not self._is_text_equal(unique_id):
            return Reason(verdict=Verdict.MAY_CHANGE, text=f"the SQL of {_called(unique_id)} changes")
        return next((why for each in self._new.nodes[unique_id].parents if each in self._new.nodes
                     and (why := self._changes(each)) is not None), None)  # fmt: skip

    def _is_root(self, unique_id: str) -> bool:
        """True if a node reads nothing that is known, so that only its rows as a whole can differ."""
        node = self._new.nodes[unique_id]
        return unique_id not in self._old.nodes or node.resource_type in ("seed", "source") or node.language == "python"

    def _is_text_equal(self, unique_id: str) -> bool:
        return self._old.lasting_sql(unique_id) == self._new.lasting_sql(unique_id)

    def _own_rows(self, unique_id: str) -> Reason | None:
        """Return why the node itself may have other rows, whatever it reads."""
        if unique_id not in self._old.nodes:
            return None  # whoever reads it now read something else
        old, new, name = self._old.nodes[unique_id], self._new.nodes[unique_id], _called(unique_id)
        if new.resource_type == "source":
            return self._source(old, new, name)
        if old.settings_text != new.settings_text:
            return Reason(verdict=Verdict.MAY_CHANGE, text=f"{name} is configured otherwise")
        if new.resource_type == "seed":
            is_equal = old.checksum_text == new.checksum_text
            return None if is_equal else Reason(verdict=Verdict.MAY_CHANGE, text=f"the seed {name} holds other rows")
        if "python" in (old.language, new.language):
            return self._python(old, new, unique_id)
        return self._query(unique_id)

    def _source(self, old: CompiledNode, new: CompiledNode, name: str) -> Reason | None:
        """Compare where a source is; a schema that moves as that of a model does is another environment's."""
        moved = {
            (self._old.nodes[each].schema, node.schema)
            for each, node in self._new.nodes.items()
            if each in self._old.nodes and node.resource_type != "source"
        }
        if old.identifier == new.identifier and (old.schema == new.schema or (old.schema, new.schema) in moved):
            return None
        return Reason(verdict=Verdict.MAY_CHANGE, text=f"the source {name} is another table")

    def _python(self, old: CompiledNode, new: CompiledNode, unique_id: str) -> Reason | None:
        if old.language == new.language and old.raw_code == new.raw_code and self._has_same_macros(unique_id):
            return next(filter(None, (self._changes(each) for each in new.parents if each in self._new.nodes)), None)
        return _untold(f"{_called(unique_id)} is a Python model whose code changes")

    def _query(self, unique_id: str) -> Reason | None:
        old, new, name = self._old.nodes[unique_id], self._new.nodes[unique_id], _called(unique_id)
        if old.sql is None or new.sql is None:
            which = "the other state" if new.sql is not None else "this project"
            return _untold(f"{name} has no compiled SQL in {which}; {_COMPILE}")
        if new.kind in _INCREMENTAL and not self._is_written_alike(unique_id):
            return _untold(f"{name} is incremental: its code changes, of which dbt compiles one branch only")
        if self._is_text_equal(unique_id):
            return None
        try:
            before, after = self._old.form(unique_id), self._new.form(unique_id)
        except UnreadableQuery as unreadable:
            return _untold(f"the SQL of {name} changes, and {unreadable}")
        if compare(before, after, ()).rows:
            return Reason(
                verdict=Verdict.MAY_CHANGE, text=f"{name} may have other rows: its SQL changes beside its columns"
            )
        return None

    def _is_written_alike(self, unique_id: str) -> bool:
        """True if a model's own code is the same but for spaces, and its macros are."""
        codes = [(state.nodes[unique_id].raw_code or "").split() for state in (self._old, self._new)]
        return codes[0] == codes[1] and self._has_same_macros(unique_id)

    def _has_same_macros(self, unique_id: str) -> bool:
        return macros_of(unique_id, self._old.manifest) == macros_of(unique_id, self._new.manifest)


def _untold(text: str) -> Reason:
    return Reason(verdict=Verdict.CANNOT_TELL, text=text)


def _called(unique_id: str) -> str:
    """Return the name of a node with its version."""
    return ".".join(unique_id.split(".")[2:])
