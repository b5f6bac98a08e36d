"""Requests and their keyword arguments: verify, status, init; the modules beside this one hold the others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, TypedDict

from feature_sync.adopting import Adopter, Adoption, Asked
from feature_sync.check import Checked, check_definitions
from feature_sync.clock import read_as_of
from feature_sync.definitions import FeatureView
from feature_sync.push import Progress
from feature_sync.push.status import StatusContext, ViewStatus, read_statuses
from feature_sync.query_runner import QueryRunner
from feature_sync.service_schema.pin import PinSource
from feature_sync.store.connections import Connections
from feature_sync.store.pins import pin_findings
from feature_sync.store.project import FeatureProject, listed
from feature_sync.verify import Verified, Verifier, VerifyContext


class ViewRequest(TypedDict, total=False):
    """Which views a request is about, and at which moment.

    `select` and `exclude` are dbt selections, such as `tag:churn`. `as_of` is the moment to use as now; one without a
    zone is in UTC. `progress` is called with a view's name and the number of rows done so far.
    """

    select: Iterable[str]
    exclude: Iterable[str]
    as_of: str | datetime | None
    progress: Progress


class VerifyRequest(ViewRequest, total=False):
    """How to verify: `sample` compares that many entities of each view; `redact` leaves values out of examples."""

    sample: int | None
    redact: bool


class InitRequest(TypedDict, total=False):
    """How to guess feature views.

    `entities` (the columns of each by its name) and `event_time` (a column) replace guesses. Without `use_warehouse`,
    nothing is counted in tables. `write` inserts the settings into the project's YAML. `before_scan` is called with a
    model and the bytes that a counting query over it will read, on warehouses that estimate them.
    """

    entities: Mapping[str, tuple[str, ...]] | None
    event_time: str | None
    use_warehouse: bool
    write: bool
    before_scan: Callable[[str, int], None]


def check_project(
    project: FeatureProject, connections: Connections, *, warehouse: bool, pins: Collection[PinSource]
) -> Checked:
    """Report every mistake and warning in the definitions.

    Args:
        project: The project.
        connections: Opens the warehouse.
        warehouse: Report also where built tables differ.
        pins: Report also where services differ from these pins.

    Raises:
        FeatureSyncError: The manifest or a pin cannot be read.
    """
    open_warehouse = connections.open_warehouse if warehouse else None
    checked = check_definitions(project.dbt, project.manifest, open_warehouse=open_warehouse)
    if not pins or checked.errors:  # a pin is compared with sound definitions only
        return checked
    found = tuple(map(project.lines.located, pin_findings(project, connections, pins)))
    return replace(checked, findings=(*checked.findings, *found))


def verify_views(
    project: FeatureProject, connections: Connections, names: Iterable[str], request: VerifyRequest
) -> Iterator[Verified]:
    """Compare Redis with the warehouse; write nothing.

    The moment is `as_of`, else that of the newest push if its clock was fixed, else now.

    Args:
        project: The project that defines the views.
        connections: Opens the warehouse and Redis.
        names: References of views; empty for all that are online.
        request: Selections, clock and options.

    Raises:
        FeatureSyncError: A view is unknown or wrong, or the warehouse or Redis failed.
        TypeError: The request has a key that `VerifyRequest` lacks.
    """
    select_views, as_of, rest = selection(project, names, request)
    context = VerifyContext(
        open_warehouse=connections.open_warehouse,
        online=connections.online(may_create=False),
        as_of=as_of,
        **{"sample": None, "redact": False, "progress": in_silence, **rest},
    )
    yield from Verifier(context).verify(select_views())


def each_status(project: FeatureProject, connections: Connections, names: Iterable[str]) -> Iterator[ViewStatus]:
    """Report the state of the given views, or of all that are online or were ever pushed.

    Args:
        project: The project that defines the views.
        connections: Opens the warehouse and Redis.
        names: References of views; empty for all.

    Raises:
        FeatureSyncError: A view is unknown, or Redis failed. If the warehouse fails, each status says so.
    """
    names = listed(names)
    views, online = project.online_views(names), connections.online(may_create=False)
    context = StatusContext(
        open_places=connections.open_places,
        online=online,
        state_schema=project.state_schema,
    )
    others = set() if names else online.references() - {view.reference for view in views}
    yield from read_statuses(views, context, others=others)


def adopt_models(
    project: FeatureProject,
    connections: Connections,
    models: Iterable[str],
    request: InitRequest,
) -> Adoption:
    """Guess the settings that make models feature views; with `write`, insert them into the project's YAML.

    Args:
        project: The project of the models.
        connections: Opens the warehouse.
        models: Names of models, snapshots and seeds.
        request: Values that replace guesses, and options.

    Raises:
        FeatureSyncError: A model is unknown, or the project or the warehouse cannot be read.
    """
    asked = Asked(entities=request.get("entities") or {}, event_time=request.get("event_time"))
    with ExitStack() as opened:
        use_warehouse = request.get("use_warehouse", True)
        runner = QueryRunner(opened.enter_context(connections.open_warehouse())) if use_warehouse else None
        adopter = Adopter(
            project.dbt,
            project.manifest,
            project.registry,
            dialect=project.dialect,
            runner=runner,
            before_scan=request.get("before_scan", in_silence),
        )
        adoption = adopter.propose(listed(models), asked)
    if request.get("write"):
        adopter.write(adoption)
    return adoption


def selection(
    project: FeatureProject, names: Iterable[str], request: ViewRequest
) -> tuple[Callable[[], list[FeatureView]], datetime | None, dict[str, Any]]:
    """Split a request into a selection of views, the moment to use as now, and the rest.

    Names are read once, since they may be iterators. The selection is a function, to be called again after the
    manifest was read anew.

    Raises:
        RequestError: The moment is not in ISO 8601.
    """
    rest: dict[str, Any] = {**request}
    chosen = [listed(each) for each in (names, rest.pop("select", ()), rest.pop("exclude", ()))]
    return partial(project.online_views, *chosen), read_as_of(rest.pop("as_of", None)), rest


def in_silence(view: str, rows: int) -> None:
    """Show no progress."""
