"""The request to stream a feature view: its messages become rows in Redis until the stream is stopped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypedDict

from feature_sync.definitions import FeatureView
from feature_sync.errors import RequestError
from feature_sync.store.connections import Connections
from feature_sync.store.project import FeatureProject

if TYPE_CHECKING:
    from feature_sync.definitions.stream import Stream
    from feature_sync.online.base import OnlineView
    from feature_sync.online.streams import StreamedRow
    from feature_sync.stream.kafka_options import StreamAddress
    from feature_sync.stream.messages import Columns
    from feature_sync.stream.registry import SchemaRegistry
    from feature_sync.stream.report import StreamCounts
    from feature_sync.stream.running import Reading, StreamRun

_LOG = logging.getLogger(__name__)
_SECONDS_TO_LAND = 0.5
_LOCALHOST, _LAST_PORT = "127.0.0.1", 65_535


class StreamRequest(TypedDict, total=False):
    """How to stream: `source` is the URL of the brokers, `until_end` ends when all is written that there was.

    `metrics_at` is where its metrics are served while it runs, `port` or `host:port`; 0 is a free port.
    `land` is the table of the warehouse in which messages are landed, too; None if something else lands them.
    """

    source: str | None
    until_end: bool
    metrics_at: str | None
    land: str | None


def stream_view(
    project: FeatureProject,
    connections: Connections,
    name: str,
    request: StreamRequest,
    *,
    begin: Callable[[StreamRun], None] = lambda run: None,
) -> StreamCounts:
    """Stream a view.

    Args:
        project: The project that defines it.
        connections: Opens Redis.
        name: The reference of the view.
        request: Where its messages come from, and when to end.
        begin: Called with the run before it begins.

    Raises:
        FeatureSyncError: The view cannot stream, or the stream cannot go on.
    """
    from feature_sync.store.landings import land_first, landing_in
    from feature_sync.stream.opening import open_dead_letters, open_source, stream_of
    from feature_sync.stream.report import StreamCounts
    from feature_sync.stream.running import StreamParts, StreamRun

    view = project.registry.feature_view(name)
    stream = stream_of(view)
    _check_clock(project, view)
    address, registry = _origin(project, view, stream, request.get("source"))
    url, timeout, folder = connections.redis_url(), connections.redis_timeout, project.dbt.directory
    online = connections.online().view(view.reference)
    group = f"feature-sync:{project.key_prefix}:{view.reference}"
    opened = partial(open_source, address, stream.topic, group=group, redis_url=url, timeout=timeout)
    dead_letters = open_dead_letters(stream, address, folder=folder, redis_url=url, timeout=timeout)
    writer, until_end = online.stream_writer(stream.topic), request.get("until_end", False)
    with ExitStack() as open_things:
        if dead_letters is not None:
            open_things.callback(dead_letters.close)
        landing = None
        if relation := request.get("land"):
            landing = landing_in(relation, project.target, stream, registry=registry, folder=folder)
            open_things.callback(landing.close, seconds=_SECONDS_TO_LAND)
            landed = land_first(opened, landing, writer, view=view.reference, until_end=until_end)
            if until_end and writer.state() is None:
                return StreamCounts(feature_view=view.reference, messages=landed)
        source = opened()
        open_things.callback(source.close)
        parts = StreamParts(
            feature_view=view.reference,
            source=source,
            writer=writer,
            reading=_reading_of(view, online, registry, project),
            dead_letters=dead_letters,
            landing=landing,
        )
        run = StreamRun(parts, until_end=until_end)
        begin(run)
        if (where := request.get("metrics_at")) is not None:
            open_things.enter_context(_metrics(run, where, project))
        return run.run()


@contextmanager
def _metrics(run: StreamRun, where: str, project: FeatureProject) -> Iterator[None]:
    from feature_sync.monitor.exporter import exported
    from feature_sync.store.watching import streaming_metrics

    host, _, port = where.rpartition(":")
    if not port.isdecimal() or int(port) > _LAST_PORT:
        raise RequestError(f"--metrics-at: {where!r} is not a port, or host:port, such as 9465 or 0.0.0.0:9465")
    read = partial(streaming_metrics, run.counts, key_prefix=project.key_prefix)
    with exported(read, host=host.strip("[]") or _LOCALHOST, port=int(port)) as url:
        _LOG.info("metrics at %s", url)
        yield


def _origin(
    project: FeatureProject, view: FeatureView, stream: Stream, asked: str | None
) -> tuple[StreamAddress, SchemaRegistry | None]:
    """Return where messages come from, and the registry of their schemas: as asked for, else as the profile says.

    Raises:
        RequestError: No source is named, or one of another topic.
    """
    from feature_sync.stream.kafka_options import read_settings, read_source
    from feature_sync.stream.registry import registry_of

    own = project.own_setting("stream")
    settings = read_settings(own.value, own.where)
    address = read_source(asked, settings)
    if address.topic not in (None, stream.topic):
        raise RequestError(
            f"{view.relation.location.at('config.meta.feature_view')}: {view.reference} has stream.topic "
            f"{stream.topic}, and --from names the topic {address.topic}; offsets of one mean nothing in the other"
        )
    return address, registry_of(settings.schema_registry)


def _check_clock(project: FeatureProject, view: FeatureView) -> None:
    """Refuse a fixed clock: a stream writes what is newest at the real one."""
    if project.clock(None).is_fixed:
        raise RequestError(
            f"{view.reference} cannot stream while the dbt variable feature_sync_as_of fixes the clock: messages are "
            "rows of the present moment; remove the variable, and push once with --full-refresh"
        )


def _reading_of(
    view: FeatureView, online: OnlineView, registry: SchemaRegistry | None, project: FeatureProject
) -> Callable[[], Reading]:
    """Return what makes the reader of messages, by the row schema that the newest push has stored by then."""
    from feature_sync.stream.formats import row_reader
    from feature_sync.stream.opening import stream_of
    from feature_sync.stream.running import Reading

    def make() -> Reading:
        schema = next(reversed([*online.schemas().values()]), None)
        if schema is None:
            raise RequestError(f"{view.reference} was not pushed yet: feature-sync push {view.reference}")
        if schema.as_of is not None:
            raise RequestError(
                f"{view.reference} was pushed at a fixed clock (--as-of): feature-sync push {view.reference} "
                "--full-refresh, and start the stream again"
            )
        reader = row_reader(view, stream_of(view), schema, registry=registry, folder=project.dbt.directory)
        encoder = online.stream_encoder(schema)

        def encode(rows: Columns) -> list[StreamedRow]:
            return encoder.encode(
                rows.keys, rows.event_timestamps, rows.values, partitions=rows.partitions, offsets=rows.offsets
            )

        return Reading(reader=reader, encode=encode)

    return make
