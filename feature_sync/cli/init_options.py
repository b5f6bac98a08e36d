"""The options of `init`: the models to adopt, and values that replace guesses."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, ParamSpec

import click

from feature_sync.cli.key_values import key_values

Parameters = ParamSpec("Parameters")


def entity_columns(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    """Parse NAME=COLUMN,COLUMN options into the columns of each entity by its name.

    Raises:
        click.BadParameter: A column is empty or given twice, or a name is.
    """
    entities = {
        name: tuple(column.strip() for column in columns.split(","))
        for name, columns in key_values(context, parameter, values).items()
    }
    named = [column for columns in entities.values() for column in columns]
    if "" in named:
        raise click.BadParameter("a column is missing: write NAME=COLUMN", context, parameter)
    if len(set(named)) < len(named):
        raise click.BadParameter("a column is named twice", context, parameter)
    return entities


_OPTIONS = (
    click.argument("models", metavar="MODEL...", nargs=-1, required=True),
    click.option(
        "--entity",
        "entities",
        multiple=True,
        metavar="NAME=COLUMN[,COLUMN]",
        callback=entity_columns,
        help="The entity that the model describes, and its join columns, instead of a guess.",
    ),
    click.option(
        "--event-time", metavar="COLUMN", help="The column that says when a row was complete, instead of a guess."
    ),
    click.option(
        "--no-warehouse",
        "use_warehouse",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Guess from dbt's artifacts alone, without connecting to the warehouse.",
    ),
    click.option(
        "--write", is_flag=True, help="Insert the settings into the project's YAML; comments and layout stay."
    ),
)


def init_options(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Add the options of `init` to a command; for several models, refuse --entity and --event-time."""

    def with_checked_options(*args: Any, **arguments: Any) -> None:
        if len(arguments["models"]) > 1 and (arguments["entities"] or arguments["event_time"]):
            raise click.UsageError("--entity and --event-time apply to one model; name only that model")
        command(*args, **arguments)

    decorated = update_wrapper(with_checked_options, command)
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
