"""Prints a plan: a table for people, JSON, or Markdown for a comment on a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
from rich.text import Text

from feature_sync.cli.operations_documents import of_plan
from feature_sync.cli.saying import say
from feature_sync.cli.tables import Cell, console, print_json, print_table, size
from feature_sync.plan import Plan, PlannedDefinition, PlannedView, Verdict
from feature_sync.printable import printable

_SIGNS = {
    Verdict.SAFE: "🟢",
    Verdict.RE_PUSH: "🔵",
    Verdict.MAY_CHANGE: "🟡",
    Verdict.CANNOT_TELL: "🟠",
    Verdict.BREAKING: "🔴",
}
_COSTS = ("feature view", "rows", "sent", "Redis memory", "scanned")
_MEANT = {
    "\\": "\\\\",
    "|": "\\|",
    "<": "&lt;",
    ">": "&gt;",
    "*": "\\*",
    "_": "\\_",
    "`": "\\`",
    "[": "\\[",
    "@": "@\u200b",
}


def print_plan(plan: Plan, *, as_json: bool, as_markdown: bool) -> None:
    """Print what changes; the exit code says whether a feature service breaks."""
    if as_json:
        print_json(of_plan(plan))
    elif as_markdown:
        click.echo("\n".join(_markdown(plan)))
    else:
        _print_tables(plan)


def _print_tables(plan: Plan) -> None:
    page = console()
    page.print(Text(printable(_summary(plan)), style="bold"))
    page.print()
    rows = list(_view_rows(plan))
    print_table(("feature view", "feature", "verdict", "why"), rows)
    print_table(("entity", "verdict", "why"), _changed(plan.entities))
    print_table(("feature service", "verdict", "why"), _changed(plan.feature_services))
    print_table(_COSTS, _costs(plan), right=(1, 2, 3, 4))
    for text in _remarks(plan):
        say(text, err=True)


def _summary(plan: Plan) -> str:
    broken = sorted({name for each in plan for name in each.broken_services})
    if broken:
        return f"This change breaks {', '.join(broken)}"
    if plan.verdict is Verdict.SAME:
        return "Nothing changes"
    changed = f"{len(plan.changed_views)} of {len(plan.feature_views)} feature views change"
    return f"No feature service breaks; {changed}"


def _view_rows(plan: Plan) -> Iterator[Sequence[Cell]]:
    for view in plan.changed_views:
        yield view.name, "", _verdict(view), _why(view)
        known = {each.text for each in view.reasons}
        for feature in view.features:
            told = tuple(each.text for each in feature.reasons if each.text not in known)
            if told:
                yield "", feature.name, _verdict(feature), told


def _changed(definitions: Sequence[PlannedDefinition]) -> list[Sequence[Cell]]:
    return [(each.name, _verdict(each), _why(each)) for each in definitions if each.verdict is not Verdict.SAME]


def _verdict(planned: PlannedDefinition) -> str:
    """Return the verdict, with the services that break."""
    if planned.verdict is Verdict.BREAKING:
        return f"breaking for {', '.join(planned.broken_services)}"
    return planned.verdict.value


def _why(planned: PlannedDefinition) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.text for each in planned.reasons))


def _costs(plan: Plan) -> list[Sequence[str]]:
    return [
        (
            view.name,
            f"{found.rows:,}",
            size(found.sent_bytes),
            f"~{size(found.memory_bytes)}",
            "" if found.scan_bytes is None else size(found.scan_bytes),
        )
        for view in plan.feature_views
        if (found := view.estimate) is not None
    ]


def _remarks(plan: Plan) -> Iterator[str]:
    """Yield what could not be estimated, each reason once, and what the verdicts do not see."""
    unknown: dict[str, list[str]] = {}
    for view in plan.feature_views:
        if view.no_estimate is not None:
            unknown.setdefault(view.no_estimate, []).append(view.name)
    for reason, names in unknown.items():
        yield f"No estimate for {', '.join(names)}: {reason}"
    yield from (f"Not compared: {note}" for note in plan.notes)


def _markdown(plan: Plan) -> Iterator[str]:
    yield f"### Feature plan: {_text(_summary(plan))}"
    yield ""
    services = [each for each in plan.feature_services if each.verdict is not Verdict.SAME]
    yield from _table(("feature service", "verdict", "why"), [_row(each, each.name) for each in services])
    rows: list[Sequence[str]] = []
    for view in plan.changed_views:
        rows += _rows_of(view)
    yield from _table(("feature view", "verdict", "why"), rows)
    entities = [_row(each, each.name) for each in plan.entities if each.verdict is not Verdict.SAME]
    yield from _table(("entity", "verdict", "why"), entities)
    yield from _table(_COSTS, [tuple(map(_text, each)) for each in _costs(plan)])
    for remark in _remarks(plan):
        yield f"_{_text(remark)}_"
        yield ""


def _rows_of(view: PlannedView) -> Iterator[Sequence[str]]:
    yield _row(view, view.name)
    known = {each.text for each in view.reasons}
    for feature in view.features:
        told = [each.text for each in feature.reasons if each.text not in known]
        if told:
            yield f"{_text(view.name)}.**{_text(feature.name)}**", _signed(feature), "<br>".join(map(_text, told))


def _row(planned: PlannedDefinition, name: str) -> Sequence[str]:
    return f"**{_text(name)}**", _signed(planned), "<br>".join(map(_text, _why(planned)))


def _signed(planned: PlannedDefinition) -> str:
    return f"{_SIGNS.get(planned.verdict, '')} {_text(_verdict(planned))}".strip()


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a table of Markdown; nothing without rows."""
    if rows:
        yield f"| {' | '.join(columns)} |"
        yield f"|{' --- |' * len(columns)}"
        yield from (f"| {' | '.join(row)} |" for row in rows)
        yield ""


def _text(text: str) -> str:
    """Escape Markdown: names come from whoever opened the pull request."""
    return "".join(_MEANT.get(each, each) for each in printable(text))
