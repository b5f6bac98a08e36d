"""The command that streams a feature view."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from feature_sync.cli.logs import FORMATS, start_logging
from feature_sync.cli.options import pass_feature_store
from feature_sync.cli.saying import say

if TYPE_CHECKING:
    from feature_sync.store import FeatureStore


@click.command()
@click.argument("view")
@click.option(
    "--from",
    "source",
    metavar="URL",
    help="Where the messages come from: kafka://broker[,broker...][/topic], or redis-stream://[host:port].",
)
@click.option(
    "--land",
    metavar="TABLE",
    help="Also land the messages in this table of the warehouse, schema.table, for dbt to read.",
)
@click.option(
    "--metrics-at",
    metavar="[HOST:]PORT",
    help="Answer /metrics there, for Prometheus, while it runs: what was read and written, and the lag.",
)
@click.option("--until-end", is_flag=True, help="End when all messages that there were are written.")
@click.option(
    "--log-format",
    type=click.Choice(FORMATS),
    default="text",
    expose_value=False,
    callback=lambda context, parameter, log_format: start_logging(log_format),
    help="How to log on stderr; the default is text.",
)
@pass_feature_store
def stream(
    store: FeatureStore, view: str, source: str | None, land: str | None, metrics_at: str | None, *, until_end: bool
) -> None:
    """Write the messages of a topic to Redis as rows of a feature view, before the warehouse has them."""
    done = store.stream(view, source=source, land=land, metrics_at=metrics_at, until_end=until_end)
    say(f"{done.feature_view}: {done.messages} messages, {done.applied} rows applied, {done.dead} dead letters")
