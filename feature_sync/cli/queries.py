"""Writes generated text to stdout or a file, and notes about it to stderr."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from feature_sync.cli.saying import say
from feature_sync.errors import RequestError

if TYPE_CHECKING:
    from feature_sync.training import TrainingSet


def print_query(training_set: TrainingSet, query: str, output: str | None, *, dialect: str | None) -> None:
    """Print a query, or write it to a file; for features that are not in a service, print the exposure to add.

    Args:
        training_set: What the query answers.
        query: The SQL text.
        output: The file to write; None for stdout.
        dialect: The dialect that the query was written for; None for the target's.
    """
    from feature_sync.cli.answers import print_exposure
    from feature_sync.sql.dialects import dialect_named

    print_file(query, output)
    written = dialect_named(dialect) if dialect else training_set.dialect
    if written.caveat:
        say(f"Note: queries for {written.name} {written.caveat}; compare a few rows before you rely on them", err=True)
    print_exposure(training_set.service)


def print_file(text: str, output: str | None) -> None:
    """Print a text as it is, or write it to a file."""
    from feature_sync.files import write_text

    if output is None:
        click.echo(text, nl=False)
    else:
        write_text(Path(output), text)
        say(f"wrote {output}", err=True)


def check_file(text: str, output: str | None) -> bool:
    """Return whether a file holds exactly this text; if not, print how to write it anew.

    Raises:
        RequestError: No file is named.
    """
    if output is None:
        raise RequestError("--check compares a file: name it with --output")
    path = Path(output)
    if path.is_file() and path.read_bytes() == text.encode():
        say(f"{output} is up to date", err=True)
        return True
    say(f"{output} is {'stale' if path.exists() else 'missing'}; run the same command without --check", err=True)
    return False
