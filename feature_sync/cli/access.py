"""Prints who may do what, and where an entity's values are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from feature_sync.cli.operations_documents import of_acl, of_traces
from feature_sync.cli.saying import say
from feature_sync.cli.tables import print_json, print_table

if TYPE_CHECKING:
    from feature_sync.access.redis_rules import RedisRules
    from feature_sync.forgetting.traces import Traces


def print_acl(rules: RedisRules, form: str, *, as_json: bool) -> None:
    """Print the users of Redis; notes on what is left to do go to stderr.

    Args:
        rules: The users.
        form: `commands` for redis-cli, or `file` for Redis's file of users.
        as_json: Print JSON.
    """
    if as_json:
        print_json(of_acl(rules))
        return
    click.echo(rules.to_file() if form == "file" else rules.to_commands(), nl=False)
    if missing := rules.without_password:
        names = ", ".join(missing)
        say(
            f"Note: Redis refuses the lines without a password: set {names}, or make them with --generate-passwords",
            err=True,
        )
    say("Note: the user default stays as it is; once no client needs it: ACL SETUSER default off", err=True)


def print_traces(traces: Traces, *, as_json: bool) -> None:
    """Print where an entity's values are, what removes them, and what could not be searched."""
    from feature_sync.forgetting.traces import Place

    if as_json:
        print_json(of_traces(traces))
        return
    rows = [(each.place, each.name, "" if each.rows is None else str(each.rows), each.cure) for each in traces.traces]
    print_table(("where", "what", "rows", "how it goes away"), rows, right=(2,))
    for problem in traces.problems:
        say(f"Warning: {problem}", err=True)
    keys = ", ".join(f"{name}={value}" for name, value in traces.keys.items())
    for where, what, found in (
        ("Redis", "key", traces.rows_in(Place.REDIS)),
        ("the warehouse", "row", traces.rows_in(Place.MODEL, Place.PUSH_TABLE)),
    ):
        left = f"{found:,} {what}{'' if found == 1 else 's'}" if found else "nothing"
        say(f"{traces.entity} {keys}: {left} left in {where}")
