"""What `check` found: a line for each problem on stdout, which editors and terminals can open, and a sum on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feature_sync.cli.documents import of_check
from feature_sync.cli.saying import say
from feature_sync.cli.tables import print_json
from feature_sync.dbt.lines import Place

if TYPE_CHECKING:
    from feature_sync.check import Checked, Problem


def print_problems(checked: Checked, *, as_json: bool) -> None:
    """Print every problem, and how many there are."""
    if as_json:
        print_json(of_check(checked))
    else:
        for each in checked.problems:
            say(_line(each))
    defined = f"{_count(checked.feature_views, 'feature view')}, {_count(checked.feature_services, 'feature service')}"
    more = f", {_count(checked.warnings, 'warning')}" if checked.warnings else ""
    say(f"{defined}: {_count(checked.errors, 'error') if checked.errors else 'no errors'}{more}", err=True)


def _line(problem: Problem) -> str:
    place = Place(problem.file, problem.line)
    return ": ".join(
        part for part in (str(place), problem.severity, problem.node, problem.key, problem.message) if part
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
