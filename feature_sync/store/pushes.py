"""The request to push feature views, and to publish the cards of the services that use them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial

from feature_sync.dbt.logic import logic_of
from feature_sync.dbt.run_results import Gate
from feature_sync.definitions import FeatureService, FeatureView
from feature_sync.errors import ArtifactsChanged, FeatureSyncError
from feature_sync.push import PushContext, Pushed, Pusher, PushKeywords, PushOptions, prune, unreferenced_views
from feature_sync.push.breaking import services_kept
from feature_sync.push.publishing import forgotten_services, publish_cards, views_in_use
from feature_sync.serving.composing import Origin
from feature_sync.store.connections import Connections
from feature_sync.store.project import FeatureProject
from feature_sync.store.requests import ViewRequest, in_silence, selection

_TRIES = 3
"""How many times a push starts if dbt writes its artifacts during it."""


class PushRequest(ViewRequest, PushKeywords, total=False):
    """How to push: `PushOptions`, and options that concern several views.

    `gate=False` pushes views whatever dbt's results say of them. `prune` removes views from Redis that the project no
    longer defines. `threads` is how many views to push at once; the default is the target's number.
    """

    gate: bool
    prune: bool
    threads: int | None


def push_views(
    project: FeatureProject,
    connections: Connections,
    names: Iterable[str],
    request: PushRequest,
    *,
    begin: Callable[[Sequence[FeatureView]], None] = lambda views: None,
) -> Iterator[Pushed]:
    """Push views, then remove or report those that the project no longer defines.

    Args:
        project: The project that defines the views.
        connections: Opens the warehouse and Redis.
        names: References of views; empty for all that are online.
        request: Selections, clock and options.
        begin: Called with the views before they are pushed; again with those left if the push starts over.

    Raises:
        FeatureSyncError: A view is unknown or wrong, or the warehouse or Redis failed; others are pushed first.
        TypeError: The request has a key that `PushRequest` lacks.
    """
    select_views, as_of, rest = selection(project, names, request)
    progress = rest.pop("progress", in_silence)
    gated, prunes, threads = rest.pop("gate", True), rest.pop("prune", False), rest.pop("threads", None)
    options = PushOptions(state_schema=project.state_schema, **rest)
    done: set[str] = set()
    for tries_left in reversed(range(_TRIES)):
        views = [each for each in select_views() if each.reference not in done]
        views = project.with_proven_uniqueness(views) if gated else views
        context = PushContext(
            open_places=partial(connections.open_places, writable=not options.dry_run, wait=options.wait, create=True),
            online=connections.online(),
            clock=project.clock(as_of),
            options=options,
            invocation_id=project.manifest.metadata.invocation_id,
            progress=progress,
        )
        begin(views)
        gate = Gate(project.dbt.run_results, project.manifest) if gated else None
        try:
            for pushed in Pusher(context, gate=gate, threads=threads or project.target.threads).push(views):
                done.add(pushed.feature_view)
                yield pushed
        except ArtifactsChanged:
            if not tries_left:
                raise
            project.forget_artifacts()
        except FeatureSyncError as failed:
            _publish(project, context, keeping=services_kept(failed))  # services of the views that did not fail
            raise
        else:
            _publish(project, context)  # before rows are removed that an old card leads to
            _undefined_services(project, context, remove=prunes)
            yield from _undefined_views(project, context, remove=prunes)
            return


def _undefined_views(project: FeatureProject, context: PushContext, *, remove: bool) -> Iterator[Pushed]:
    """Remove, or warn of, views in Redis that the project no longer defines."""
    defined = [view.reference for view in project.registry.feature_views.values() if view.online]
    names = unreferenced_views(context, defined)
    if remove and not context.options.dry_run:
        used = views_in_use(context.online, names)
        for name in filter(used.get, names):
            project.warn(f"{name} is not removed from Redis: the card of {used[name]} still leads to it")
        yield from prune(context, [name for name in names if name not in used])
    elif names:
        project.warn(f"Redis still holds {', '.join(names)}, which the project no longer pushes; remove with --prune")


def _publish(project: FeatureProject, context: PushContext, *, keeping: Collection[str] = ()) -> None:
    """Publish the cards of all services but `keeping`, and warn of those that cannot be served by their definition."""
    if context.options.dry_run:
        return
    manifest = project.manifest
    services = [each for each in project.registry.feature_services.values() if each.name not in keeping]

    def origin_of(service: FeatureService) -> Origin:
        return Origin(
            logic=logic_of(service, manifest),
            manifest_at=manifest.metadata.generated_at or "",
            invocation_id=manifest.metadata.invocation_id or "",
        )

    for each in publish_cards(context.online, services, origin_of):
        project.warn(f"the feature service {each.service} is not served as it is defined: {each.reason}")


def _undefined_services(project: FeatureProject, context: PushContext, *, remove: bool) -> None:
    """Remove, or warn of, cards of services that the project no longer defines."""
    services, manifest_at = project.registry.feature_services.values(), project.manifest.metadata.generated_at or ""
    names, newer = forgotten_services(context.online, services, manifest_at=manifest_at)
    if newer:
        project.warn(
            f"Redis serves {', '.join(newer)} by a newer manifest or version, which this project does not define"
        )
    if names and remove and not context.options.dry_run:
        context.online.withdraw(names)
    elif names:
        project.warn(f"Redis still serves {', '.join(names)}, which the project no longer defines; remove with --prune")
