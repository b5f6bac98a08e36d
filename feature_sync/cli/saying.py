"""Prints single lines to the terminal, and handles output that the system refuses."""

from __future__ import annotations

import os
import sys

import click

from feature_sync.printable import printable


def say(text: str, *, err: bool = False) -> None:
    """Print one line, with control characters escaped.

    Names and values in it come from outside: they could steer the terminal, or forge another line.
    """
    click.echo(printable(text), err=err)


def os_error_text(refused: OSError) -> str:
    """Return the system's reason, preceded by the file if the error names one."""
    name = "" if refused.filename is None else f"{os.fsdecode(refused.filename)}: "
    return f"{name}{refused.strerror or refused}"


def discard_output() -> None:
    """Redirect stdout to the null device if it cannot be flushed.

    At exit, Python flushes stdout again; on a closed pipe that would print a second error.
    """
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
