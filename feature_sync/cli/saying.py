"""How lines are printed for people, and what ends a command that the system stops."""

from __future__ import annotations

import os
import sys

import click

from feature_sync.printable import printable


def say(text: str, *, err: bool = False) -> None:
    """Print one line; names and values in it may hold what would steer a terminal, or forge another line."""
    click.echo(printable(text), err=err)


def spoken(refused: OSError) -> str:
    """Say what the system refused, and for which file, if it names one."""
    name = "" if refused.filename is None else f"{os.fsdecode(refused.filename)}: "
    return f"{name}{refused.strerror or refused}"


def discard_output() -> None:
    """Let what is still to be printed go nowhere: when the process ends, Python would try again, and fail loudly."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
