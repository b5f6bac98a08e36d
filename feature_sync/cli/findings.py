"""Prints the findings of `check`: `file:line: message` on stdout, which editors can open, and totals on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feature_sync.cli.documents import of_check
from feature_sync.cli.saying import say
from feature_sync.cli.tables import print_json

if TYPE_CHECKING:
    from feature_sync.check import Checked


def print_findings(checked: Checked, *, as_json: bool) -> None:
    """Print every finding on stdout, and their number on stderr."""
    if as_json:
        print_json(of_check(checked))
    else:
        for each in checked.findings:
            say(each.with_severity)
    defined = f"{_count(checked.feature_views, 'feature view')}, {_count(checked.feature_services, 'feature service')}"
    more = f", {_count(checked.warnings, 'warning')}" if checked.warnings else ""
    say(f"{defined}: {_count(checked.errors, 'error') if checked.errors else 'no errors'}{more}", err=True)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
