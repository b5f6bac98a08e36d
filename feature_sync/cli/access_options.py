"""The options of the commands about access: `acl`, `grants` and `forget`."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

import click

Parameters = ParamSpec("Parameters")

_ACL = (
    click.option(
        "--format",
        "form",
        type=click.Choice(("commands", "file")),
        default="commands",
        show_default=True,
        help="Commands for redis-cli, or lines of Redis's file of users (aclfile).",
    ),
    click.option(
        "--service", "services", multiple=True, metavar="NAME", help="Print the reader of this service alone."
    ),
    click.option(
        "--generate-passwords",
        metavar="FILE",
        help="Make passwords into a new file, instead of taking those of FEATURE_SYNC_PASSWORD_... .",
    ),
)
_GRANTS = (
    click.option(
        "--pusher", default="feature_sync_pusher", show_default=True, metavar="ROLE", help="The role that pushes."
    ),
    click.option(
        "--reader",
        default="feature_sync_reader",
        show_default=True,
        metavar="ROLE",
        help="The role that extracts, verifies and reports.",
    ),
    click.option("--builder", default="", metavar="ROLE", help="The role that runs dbt; the default is the target's."),
    click.option(
        "--spine", "spines", multiple=True, metavar="MODEL", help="A model that the reader may read as a spine."
    ),
)
_FORGET = (
    click.argument("entity"),
    click.argument("keys", metavar="KEY...", nargs=-1, required=True),
    click.option(
        "--files",
        multiple=True,
        metavar="PATH",
        help="Search Parquet and CSV files, too: logs of served vectors, training sets; or folders of them.",
    ),
)


def acl_options(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Add the options that choose users of Redis, and how they are printed."""
    for option in reversed(_ACL):
        command = option(command)
    return command


def grants_options(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Add the options that name roles of the warehouse."""
    for option in reversed(_GRANTS):
        command = option(command)
    return command


def forget_options(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Add the entity to search for, and where to search beside Redis and the warehouse."""
    for option in reversed(_FORGET):
        command = option(command)
    return command
