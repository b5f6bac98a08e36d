"""Prints who may do what: the users of Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from feature_sync.cli.documents import of_acl
from feature_sync.cli.saying import say
from feature_sync.cli.tables import print_json

if TYPE_CHECKING:
    from feature_sync.access.redis_rules import RedisRules


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
