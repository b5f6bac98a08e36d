"""The check: everything that is wrong with a project's definitions, and all that their users should know, at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from feature_sync.dbt.feature_views import DOUBLED, is_feature_view
from feature_sync.dbt.lines import SourceLines
from feature_sync.dbt.lookalikes import lookalikes
from feature_sync.dbt.manifest import Manifest
from feature_sync.dbt.project import Project
from feature_sync.dbt.registry import read_definitions
from feature_sync.definitions import Column, FeatureView, Relation
from feature_sync.errors import (
    DefinitionError,
    DefinitionWarning,
    Location,
    Mistakes,
    ProfileError,
    ProjectError,
    WarehouseError,
)
from feature_sync.sql.dialects import DIALECTS
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.entity_types import check_entity_types
from feature_sync.sql.types import value_type
from feature_sync.sql.view_query import ViewQuery
from feature_sync.statements import Statements, check_view_collations
from feature_sync.warehouses.base import Warehouse

_NOWHERE = Location("", "")


class Severity(StrEnum):
    """What a problem means: an error makes a definition unusable."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, or that a person should know; what is not known of its place is empty."""

    file: str
    line: int | None
    node: str
    key: str
    severity: Severity
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a check found, in the order of files and lines."""

    feature_views: int
    feature_services: int
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> int:
        """How many problems are errors."""
        return sum(each.severity is Severity.ERROR for each in self.problems)

    @property
    def warnings(self) -> int:
        """How many problems are warnings."""
        return len(self.problems) - self.errors

    def is_good(self, *, warn_error: bool = False) -> bool:
        """Tell whether nothing is wrong; with `warn_error`, warnings are wrong, too."""
        return not self.errors and not (warn_error and self.warnings)


def check_definitions(
    project: Project, manifest: Manifest, *, open_warehouse: Callable[[], Warehouse] | None = None
) -> Checked:
    """Check all definitions of a project; with a warehouse, also against the tables that dbt built there.

    Raises:
        ProjectError: A catalog is there that cannot be read.
    """
    reading = read_definitions(manifest, project=project.name, catalog=project.catalog)
    mistakes, warnings = Mistakes(), [*reading.warnings, *lookalikes(manifest)]
    mistakes.found.extend(reading.errors)
    lines = SourceLines(project, manifest)
    _note_doubled_lists(manifest, lines, mistakes)
    views = [*reading.registry.feature_views.values(), *reading.wrong_views]
    if open_warehouse is not None:
        try:
            views = _as_built(views, open_warehouse, mistakes)
        except (WarehouseError, ProfileError, ProjectError) as closed:
            mistakes.note(_NOWHERE.error(f"the tables are not checked: {closed}"))
    _note_types(views, DIALECTS.get(manifest.metadata.adapter_type or ""), mistakes)
    if stale := project.warning_of_newer_sources(manifest.path):
        file, said = stale
        warnings.append(Location(str(project.directory / file), "").warning(said))
    problems = [
        *(_problem(Severity.ERROR, each, lines) for each in mistakes.found),
        *(_problem(Severity.WARNING, each, lines) for each in warnings),
    ]
    problems.sort(key=lambda each: (each.file, each.line or 0, each.node))
    return Checked(
        feature_views=reading.feature_views,
        feature_services=reading.feature_services,
        problems=tuple(_said_once(problems)),
    )


def _problem(severity: Severity, found: DefinitionError | DefinitionWarning, lines: SourceLines) -> Problem:
    at, place = found.location, lines.place(found.location)
    return Problem(file=place.file, line=place.line, node=at.node, key=at.key, severity=severity, message=found.message)


def _said_once(problems: Iterable[Problem]) -> list[Problem]:
    """Say once what was found twice, and what one line does to many nodes, as one of `dbt_project.yml` may."""
    alike: dict[Problem, list[Problem]] = {}
    for each in dict.fromkeys(problems):
        key = replace(each, node="") if each.line is not None else each
        alike.setdefault(key, []).append(each)
    return [
        first if not more else replace(first, message=f"{first.message} (so it is for {len(more)} more)")
        for first, *more in alike.values()
    ]


def _note_doubled_lists(manifest: Manifest, lines: SourceLines, mistakes: Mistakes) -> None:
    """Note lists that stand at a version and at its model, unless something else is wrong with them."""
    known = {each.location for each in mistakes.found}
    for node in manifest.nodes_that_mention("feature_view"):
        if node.version is not None and is_feature_view(node):
            doubled = lines.doubled_lists(node.location.at("config.meta.feature_view"))
            mistakes.note(*(each.error(DOUBLED) for each in doubled if each not in known))


def _note_types(views: Iterable[FeatureView], dialect: Dialect | None, mistakes: Mistakes) -> None:
    """Note known types that do not fit: of keys, features, defaults and times, and of one entity in two views."""
    if dialect is None:
        return
    known = [view.known_part() for view in views if view.relation.columns_are_complete]
    queries = [ViewQuery(view, dialect=dialect, mistakes=mistakes) for view in known]
    mistakes.attempt(None, check_entity_types, queries)


def _as_built(
    views: Iterable[FeatureView], open_warehouse: Callable[[], Warehouse], mistakes: Mistakes
) -> list[FeatureView]:
    """Learn the columns of the tables that dbt built, and note what the definitions say otherwise."""
    with open_warehouse() as warehouse:
        statements = Statements(warehouse)
        return [mistakes.attempt(view, _with_built_types, view, statements, mistakes) for view in views]


def _with_built_types(view: FeatureView, statements: Statements, mistakes: Mistakes) -> FeatureView:
    cure = f"dbt build -s {view.name}"
    try:
        types = statements.types_of(view.relation)
    except WarehouseError as refused:
        raise view.relation.location.error(str(refused).replace("dbt build", cure)) from refused
    built = view.with_column_types(types)
    mistakes.note(*built.mistakes())
    wrong = Mistakes()
    query = ViewQuery(built.known_part(), dialect=statements.dialect, mistakes=wrong)
    if not wrong.found:  # they are told by _note_types
        mistakes.attempt(None, check_view_collations, statements.warehouse, query)
    for name in (*view.join_keys, *view.times, *(each.name for each in view.features)):
        declared, found = view.relation.columns.get(name), built.relation.columns.get(name)
        if declared and found and _differ(declared, found, view.relation, dialect=statements.dialect):
            at = view.relation.location.at(f"columns.{name}.data_type")
            mistakes.note(
                at.error(f"{declared.data_type!r} is expected, but {found.data_type!r} was built; run {cure}")
            )
    return built


def _differ(declared: Column, built: Column, relation: Relation, *, dialect: Dialect) -> bool:
    """Tell whether two types are of different kinds; those that make no sense are told elsewhere."""
    ignored = Mistakes()
    kinds = {
        kind and kind.kind
        for kind in (
            ignored.attempt(None, value_type, column, relation, dialect=dialect) for column in (declared, built)
        )
    }
    return len(kinds - {None}) > 1
