"""The command `check`: finds everything that is wrong or doubtful in a project's definitions, at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from feature_sync.dbt.feature_views import DOUBLED, is_feature_view
from feature_sync.dbt.lines import SourceLines
from feature_sync.dbt.lookalikes import lookalikes
from feature_sync.dbt.manifest import Manifest
from feature_sync.dbt.project import Project
from feature_sync.dbt.registry import read_definitions
from feature_sync.definitions import Column, FeatureView, Relation
from feature_sync.errors import Findings, Location, ProfileError, ProjectError, WarehouseError
from feature_sync.findings import Finding, Severity, group_by_cause
from feature_sync.query_runner import QueryRunner, check_view_collations
from feature_sync.sql.dialects import DIALECTS
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.entity_types import check_entity_types
from feature_sync.sql.types import value_type
from feature_sync.sql.view_query import ViewQuery
from feature_sync.warehouses.base import Warehouse

_NO_LOCATION = Location("", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Result of `check`: the number of definitions, and the findings in the order of files and lines."""

    feature_views: int
    feature_services: int
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        """The number of errors."""
        return sum(each.severity is Severity.ERROR for each in self.findings)

    @property
    def warnings(self) -> int:
        """The number of warnings."""
        return len(self.findings) - self.errors

    def is_good(self, *, warn_error: bool = False) -> bool:
        """True if there are no errors; with `warn_error`, no warnings either."""
        return not self.errors and not (warn_error and self.warnings)


def check_definitions(
    project: Project, manifest: Manifest, *, open_warehouse: Callable[[], Warehouse] | None = None
) -> Checked:
    """Check all definitions of a project; with a warehouse, also against the tables that dbt built there.

    Args:
        project: The dbt project.
        manifest: Its manifest.
        open_warehouse: Opens the warehouse; None checks without it. A failure to open it becomes a finding.

    Raises:
        ProjectError: `catalog.json` exists and cannot be read.
    """
    reading = read_definitions(manifest, project=project.name, catalog=project.catalog)
    findings = Findings(reading.findings)
    findings.note(*lookalikes(manifest))
    lines = SourceLines(project, manifest)
    _note_doubled_lists(manifest, lines, findings)
    views = [*reading.registry.feature_views.values(), *reading.wrong_views]
    if open_warehouse is not None:
        try:
            views = _with_built_columns(views, open_warehouse, findings)
        except (WarehouseError, ProfileError, ProjectError) as closed:
            findings.note(_NO_LOCATION.mistake(f"the tables are not checked: {closed}"))
    _note_types(views, DIALECTS.get(manifest.metadata.adapter_type or ""), findings)
    if stale := project.warning_of_newer_sources(manifest.path):
        findings.note(stale)
    located = sorted(
        map(lines.located, findings), key=lambda each: (each.file, each.line or 0, each.node, each.severity)
    )
    return Checked(
        feature_views=reading.feature_views,
        feature_services=reading.feature_services,
        findings=tuple(_once_per_cause(located)),
    )


def _once_per_cause(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield one finding for each cause: that of the first node, with the number of further nodes."""
    for first, *others in group_by_cause(findings):
        more = f" (and {len(others)} more {'node' if len(others) == 1 else 'nodes'})" if others else ""
        yield replace(first, message=f"{first.message}{more}")


def _note_doubled_lists(manifest: Manifest, lines: SourceLines, findings: Findings) -> None:
    """Note lists written both at a version and at its model, unless they have another error already."""
    known = {(each.node, each.key) for each in findings.errors}
    for node in manifest.nodes_that_mention("feature_view"):
        if node.version is not None and is_feature_view(node):
            doubled = lines.doubled_lists(node.location.at("config.meta.feature_view"))
            findings.note(*(each.mistake(DOUBLED) for each in doubled if (each.node, each.key) not in known))


def _note_types(views: Iterable[FeatureView], dialect: Dialect | None, findings: Findings) -> None:
    """Note known types that do not fit: of join keys, features, defaults and times, and of one entity in two views."""
    if dialect is None:
        return
    known = [view.without_missing_columns() for view in views if view.relation.columns_are_complete]
    queries = [ViewQuery(view, dialect=dialect, findings=findings) for view in known]
    findings.attempt(None, check_entity_types, queries)


def _with_built_columns(
    views: Iterable[FeatureView], open_warehouse: Callable[[], Warehouse], findings: Findings
) -> list[FeatureView]:
    """Fill in the columns of the tables that dbt built, and note where the definitions contradict them."""
    with open_warehouse() as warehouse:
        runner = QueryRunner(warehouse)
        return [findings.attempt(view, _with_built_types, view, runner, findings) for view in views]


def _with_built_types(view: FeatureView, runner: QueryRunner, findings: Findings) -> FeatureView:
    cure = f"dbt build -s {view.name}"
    try:
        types = runner.types_of(view.relation)
    except WarehouseError as refused:
        raise view.relation.location.error(str(refused).replace("dbt build", cure)) from refused
    built = view.with_column_types(types)
    findings.note(*built.mistakes())
    wrong = Findings()
    query = ViewQuery(built.without_missing_columns(), dialect=runner.dialect, findings=wrong)
    if not wrong.errors:  # _note_types notes these
        findings.attempt(None, check_view_collations, runner.warehouse, query)
    for name in (*view.join_keys, *view.times, *(each.name for each in view.features)):
        declared, found = view.relation.columns.get(name), built.relation.columns.get(name)
        if declared and found and _differ(declared, found, view.relation, dialect=runner.dialect):
            at = view.relation.location.at(f"columns.{name}.data_type")
            findings.note(
                at.mistake(f"{declared.data_type!r} is expected, but {found.data_type!r} was built; run {cure}")
            )
    return built


def _differ(declared: Column, built: Column, relation: Relation, *, dialect: Dialect) -> bool:
    """True if two types are of different kinds; invalid types are noted elsewhere."""
    ignored = Findings()
    kinds = {
        kind and kind.kind
        for kind in (
            ignored.attempt(None, value_type, column, relation, dialect=dialect) for column in (declared, built)
        )
    }
    return len(kinds - {None}) > 1
