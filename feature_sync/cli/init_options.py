"""The options of `init`: the models to adopt, and what a person says in place of guesses."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, ParamSpec

import click

from feature_sync.cli.options import key_values

Parameters = ParamSpec("Parameters")


def entity_columns(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    """Parse NAME=COLUMN,COLUMN options."""
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
        help="What the model describes, and its join columns, in place of a guess.",
    ),
    click.option("--event-time", metavar="COLUMN", help="When a row was complete, in place of a guess."),
    click.option(
        "--no-warehouse",
        "use_warehouse",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Guess from dbt's artifacts alone, and open no warehouse.",
    ),
    click.option("--write", is_flag=True, help="Put the YAML in place; comments and layout stay."),
)


def init_options(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Add the options of `init` to a command; refuses those about one model for several."""

    def about_one_model(*args: Any, **arguments: Any) -> None:
        if len(arguments["models"]) > 1 and (arguments["entities"] or arguments["event_time"]):
            raise click.UsageError("--entity and --event-time speak of one model; name that model alone")
        command(*args, **arguments)

    decorated = update_wrapper(about_one_model, command)
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
