"""The commands and options for those who watch: metrics in a file, and at a port."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click

from feature_sync.cli.options import pass_feature_store, warn
from feature_sync.cli.saying import say
from feature_sync.errors import FeatureSyncError

if TYPE_CHECKING:
    from feature_sync.monitor.metrics import Sample
    from feature_sync.push import Pushed
    from feature_sync.push.status import ViewStatus
    from feature_sync.store import FeatureStore
    from feature_sync.verify import Verified

metrics_option = click.option(
    "--metrics",
    "metrics_file",
    metavar="FILE",
    help="Write metrics to a file, also if the command fails: NAME.prom for node exporter's textfile collector.",
)


@dataclass(slots=True)
class Watched:
    """What a command found, so far; only the command that it belongs to fills its list."""

    pushed: list[Pushed] = field(default_factory=list)
    verified: Sequence[Verified] = ()
    statuses: Sequence[ViewStatus] = ()
    exit_code: int = 0
    started: float = field(default_factory=monotonic)


@contextmanager
def written_metrics(store: FeatureStore, command: str, file: str | None) -> Iterator[Watched]:
    """Yield what is to be filled, and write its metrics when the command ends, however it does.

    A file that cannot be written is a warning: Redis is as right as before.

    Args:
        store: The feature store.
        command: The name of the command.
        file: The file; None for no metrics.
    """
    watched = Watched()
    if file is None:
        yield watched
        return
    try:
        yield watched
    except SystemExit as ended:
        watched.exit_code = ended.code if isinstance(ended.code, int) else 1
        raise
    except BaseException:
        watched.exit_code = 1
        raise
    finally:
        _write(Path(file), lambda: _text(store, command, watched))


def _write(file: Path, text: Callable[[], str]) -> None:
    from feature_sync.files import write_text

    try:
        write_text(file, text())
    except FeatureSyncError as refused:
        warn(f"no metrics: {refused}")


def _text(store: FeatureStore, command: str, watched: Watched) -> str:
    from feature_sync.monitor.exposition import exposition

    return exposition(_samples(store, command, watched), project=store.project.key_prefix)


def _samples(store: FeatureStore, command: str, watched: Watched) -> Iterator[Sample]:
    from feature_sync.monitor import metrics

    seconds = monotonic() - watched.started
    yield from metrics.of_command(command, exit_code=watched.exit_code, ended=datetime.now(UTC), seconds=seconds)
    yield from metrics.of_pushes(watched.pushed)
    yield from metrics.of_verification(watched.verified)
    if watched.statuses:
        yield from metrics.of_statuses(watched.statuses, store.registry)


@click.command()
@click.option(
    "--host", default="127.0.0.1", metavar="ADDRESS", help="The address to listen at; the default is 127.0.0.1."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=9_464,
    metavar="NUMBER",
    help="The port to listen at, 0 for a free one; the default is 9464.",
)
@pass_feature_store
def metrics(store: FeatureStore, host: str, port: int) -> None:
    """Answer /metrics with the status of all views at each scrape, for Prometheus, until it is stopped."""
    from feature_sync.monitor.exporter import export
    from feature_sync.store.watching import StatusMetrics

    export(StatusMetrics(store.project, store.connections), host=host, port=port, announce=say)
