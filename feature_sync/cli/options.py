"""The options that commands share, named as dbt names its own, and the decorator that opens the feature store."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import click

from feature_sync.cli.logs import FORMATS, start_logging
from feature_sync.cli.saying import say
from feature_sync.errors import DefinitionError

if TYPE_CHECKING:
    from feature_sync.store import FeatureStore

Parameters = ParamSpec("Parameters")

_OPTIONS = (
    ("--project-dir", "DBT_PROJECT_DIR", "DIRECTORY", "Folder of dbt_project.yml."),
    ("--profiles-dir", "DBT_PROFILES_DIR", "DIRECTORY", "Folder of profiles.yml."),
    ("--profile", "DBT_PROFILE", "NAME", "The profile to use, instead of the project's."),
    ("--target", "DBT_TARGET", "NAME", "The target to use, instead of the profile's."),
    ("--target-path", "DBT_TARGET_PATH", "DIRECTORY", "Folder to which dbt writes its artifacts."),
    (
        "--redis-url",
        "FEATURE_SYNC_REDIS_URL",
        "URL",
        "The URL of Redis: redis://, rediss://, unix://; redis+cluster://, redis+sentinel://.",
    ),
    (
        "--redis-timeout",
        "FEATURE_SYNC_REDIS_TIMEOUT",
        "SECONDS",
        "How long to wait for a reply of Redis; the default is 10.",
    ),
    (
        "--key-prefix",
        "FEATURE_SYNC_KEY_PREFIX",
        "TEXT",
        "The prefix of all keys in Redis; the default is the project's name.",
    ),
)
_TRAINING_OPTIONS = (
    click.argument("service", required=False),
    click.option(
        "--spine", metavar="MODEL|FILE", help="The rows to answer: a model, seed or source, .parquet or .csv."
    ),
    click.option("--spine-sql", metavar="QUERY", help="The rows to answer, as a query in the warehouse's own SQL."),
    click.option(
        "--event-timestamp",
        metavar="COLUMN",
        help="The moment asked; the default is the model's event_time, or event_timestamp in a query or a file.",
    ),
    click.option("--since", metavar="MOMENT", help="Answer rows from this moment on, such as 2013-01-01."),
    click.option("--until", metavar="MOMENT", help="Answer rows up to this moment, inclusive."),
    click.option("--sample", type=float, metavar="SHARE", help="Answer a share of the rows, the same rows every time."),
    click.option("--limit", type=int, metavar="ROWS", help="Answer that many rows, the first in order."),
    click.option(
        "--order-by",
        metavar="COLUMN [desc],...",
        help="Order the rows; without it, and in ties, a file keeps its order, and other rows go by moment and keys.",
    ),
    click.option(
        "--features",
        metavar="VIEW[ENTITY=COLUMN]:FEATURE,...",
        callback=lambda context, parameter, text: _features(text or ""),
        help="Features to explore with, instead of a feature service; [...] if the spine's column has another name.",
    ),
    click.option(
        "--unordered",
        "ordered",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Order by --order-by alone, or not at all: for results that the warehouse cannot sort.",
    ),
    click.option(
        "--label",
        "labels",
        multiple=True,
        metavar="COLUMN",
        help="A column that a model learns to predict; the default is those with label: true.",
    ),
    click.option(
        "--strategy",
        metavar="STRATEGY",
        help="How to join: asof, lateral, bucket or carry; the default is the best for each view.",
    ),
)
_VIEW_OPTIONS = (
    click.argument("names", metavar="[NAME]...", nargs=-1),
    click.option(
        "-s", "--select", multiple=True, metavar="SELECTION", help="Feature views by dbt's own selection syntax."
    ),
    click.option(
        "--exclude", multiple=True, metavar="SELECTION", help="Feature views to leave out, by the same syntax."
    ),
)
_PLAN_OPTIONS = (
    click.option(
        "--state",
        required=True,
        metavar="FOLDER",
        help="The folder of the other state's manifest.json, such as production's artifacts.",
    ),
    *_VIEW_OPTIONS[1:],
    click.option(
        "--no-warehouse",
        "use_warehouse",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Estimate nothing: connect to no warehouse.",
    ),
    click.option("--allow-breaking", is_flag=True, help="Exit 0 even if a feature service breaks."),
    click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown, for a comment on a pull request."),
)
_PUSH_OPTIONS = (
    *_VIEW_OPTIONS,
    click.option(
        "--threads",
        type=click.IntRange(1),
        metavar="NUMBER",
        help="How many views to push at once; the default is the profile's.",
    ),
    click.option("--wait", is_flag=True, help="Wait for another push of the same view, instead of failing."),
    click.option("--full-refresh", is_flag=True, help="Send every row, not only changes."),
    click.option(
        "--no-gate",
        "gate",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Push views whatever dbt's results say of them.",
    ),
    click.option("--allow-removals", is_flag=True, help="Let a push remove more than 30% of a view's entities."),
    click.option("--allow-eviction", is_flag=True, help="Push to a Redis that may evict keys."),
    click.option("--allow-breaking", is_flag=True, help="Push what breaks a feature service that Redis serves."),
    click.option("--prune", is_flag=True, help="Remove views from Redis that the project no longer defines."),
    click.option(
        "--log-format",
        type=click.Choice(FORMATS),
        expose_value=False,
        callback=lambda context, parameter, log_format: start_logging(log_format),
        help="Log each phase on stderr.",
    ),
    click.option(
        "--replicas-acknowledge",
        type=click.IntRange(0),
        metavar="NUMBER",
        help="How many replicas of each primary must have a push before it counts; the default is 1 where there is "
        "one, in a cluster or behind Sentinel.",
    ),
    click.option("--dry-run", is_flag=True, help="Report what would be sent, and write nothing."),
    click.option("--take-over", is_flag=True, help="Adopt keys that another warehouse or table pushed."),
)
_VERIFY_OPTIONS = (
    *_VIEW_OPTIONS,
    click.option(
        "--sample",
        type=click.IntRange(1),
        metavar="NUMBER",
        help="Compare that many entities of each view, the same every time, without a search for extra rows.",
    ),
    click.option("--redact", is_flag=True, help="Print keys but no values."),
)
_SERVE_OPTIONS = (
    click.option(
        "--redis-url",
        envvar="FEATURE_SYNC_REDIS_URL",
        metavar="URL",
        help="The URL of Redis: redis://, rediss://, unix://; redis+cluster://, redis+sentinel://.",
    ),
    click.option(
        "--key-prefix",
        envvar="FEATURE_SYNC_KEY_PREFIX",
        metavar="TEXT",
        help="The prefix of all keys in Redis: the project's name, unless pushes name another.",
    ),
    click.option(
        "--service",
        "services",
        multiple=True,
        envvar="FEATURE_SYNC_SERVICES",
        metavar="NAME",
        help="A service to serve, or several by repeating it; the default is every service that has a card in Redis.",
    ),
    click.option(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="The address to listen at; the default is 127.0.0.1."
    ),
    click.option(
        "--port",
        type=click.IntRange(0, 65_535),
        default=8080,
        metavar="NUMBER",
        help="The port to listen at, 0 for a free one; the default is 8080.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(1),
        default=1,
        metavar="NUMBER",
        help="How many processes serve; the default is 1.",
    ),
    click.option(
        "--token",
        envvar="FEATURE_SYNC_TOKEN",
        metavar="TEXT",
        help="The bearer token that requests need; keep it in the environment, where other users do not see it.",
    ),
    click.option(
        "--timeout",
        type=float,
        envvar="FEATURE_SYNC_TIMEOUT",
        metavar="SECONDS",
        help="How long Redis may take for a request; the default is 0.25.",
    ),
)
_names = [name.removeprefix("--").replace("-", "_") for name, *_ in _OPTIONS]


def pass_feature_store(
    command: Callable[Concatenate[FeatureStore, Parameters], None],
) -> Callable[Parameters, None]:
    """Add the shared options to a command, open its feature store, and close it afterwards."""

    def with_store(*args: Any, **arguments: Any) -> None:
        with open_store({name: arguments.pop(name) for name in _names}) as store:
            try:
                command(store, *args, **arguments)
            except DefinitionError as wrong:
                raise store.project.lines.located_error(wrong) from wrong

    return redis_options(update_wrapper(with_store, command))


def redis_options(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Add all shared options to a command that needs no project if it is told where Redis is."""
    for name, variable, metavar, text in reversed(_OPTIONS):
        command = click.option(name, envvar=variable, metavar=metavar, help=text)(command)
    return command


def _features(text: str) -> list[str]:
    from feature_sync.definitions import split_features

    return split_features(text)


def training_options(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Add the options that choose a spine and features."""
    for option in reversed(_TRAINING_OPTIONS):
        command = option(command)
    return command


def plan_options(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Add the options that choose another state and views."""
    for option in reversed(_PLAN_OPTIONS):
        command = option(command)
    return command


def push_options(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Add the options that choose views and how to push them."""
    for option in reversed(_PUSH_OPTIONS):
        command = option(command)
    return command


def serve_options(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Add the options that choose what to serve and where; no project is read for their defaults."""
    for option in reversed(_SERVE_OPTIONS):
        command = option(command)
    return command


def verify_options(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Add the options that choose views and how to verify them."""
    for option in reversed(_VERIFY_OPTIONS):
        command = option(command)
    return command


def open_store(options: dict[str, Any]) -> FeatureStore:
    """Open the feature store; its warnings go to stderr.

    Raises:
        MissingLibrary: feature-sync is installed for serving only.
    """
    from feature_sync import FeatureStore  # not from its own module: only this way looks for the libraries first

    return FeatureStore.open(**options, warn=warn)


def warn(text: str) -> None:
    """Print a warning on stderr."""
    say(f"Warning: {text}", err=True)
