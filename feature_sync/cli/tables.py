"""Results as tables or JSON on stdout, progress and advice on stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from feature_sync.cli.saying import say
from feature_sync.definitions import FeatureService, FeatureView, Registry, Selection, format_duration
from feature_sync.printable import printable

if TYPE_CHECKING:
    from feature_sync.dbt.description import Description
    from feature_sync.lookup import FeatureVector
    from feature_sync.push import Pushed
    from feature_sync.training import Extract

Cell: TypeAlias = str | tuple[str, ...]
"""What stands in a cell: a text, or several lines."""
_WIDE = 200
_KILO = 1_000
_SMALLEST_SHOWN = 0.001
_MOST_SHARES = 8


def print_registry(registry: Registry, *, as_json: bool) -> None:
    """Print all feature views, entities and feature services."""
    views, services = registry.feature_views.values(), registry.feature_services.values()
    if as_json:
        print_json(
            {
                "feature_views": [_view_facts(view) for view in views],
                "entities": {name: [view.reference for view in each] for name, each in registry.entities.items()},
                "feature_services": [_service_facts(service) for service in services],
            }
        )
        return
    rows = [
        (
            _name(each),
            _entities(each),
            each.history,
            _ttl(each),
            "yes" if each.online else "no",
            _names(each.features),
        )
        for each in views
    ]
    print_table(("feature view", "entities", "history", "ttl", "online", "features"), rows)
    entities = [(name, ", ".join(each.reference for each in used_by)) for name, used_by in registry.entities.items()]
    print_table(("entity", "described by"), entities)
    print_table(
        ("feature service", "join keys", "features"),
        [(each.name, ", ".join(each.join_keys), ", ".join(each.feature_names)) for each in services],
    )


def print_description(description: Description, *, as_json: bool) -> None:
    """Print one feature view or feature service."""
    if as_json:
        print_json(asdict(description))
        return
    console = _console()
    console.print(Text(printable(f"{description.kind} {description.name}"), style="bold"))
    if description.description:
        console.print(_shown(tuple(description.description.strip().splitlines())))
    print_table(("", ""), list(description.facts.items()), headed=False)
    role = "role" if description.kind == "feature view" else "from"
    rows = [
        (
            each.name,
            each.role,
            each.data_type or "",
            "" if each.default is None else str(each.default),
            tuple(each.description.splitlines()),
        )
        for each in description.columns
    ]
    print_table(("column", role, "type", "default", "description"), rows)
    lists = {"tests": description.tests, "used by": description.used_by, "upstream": description.upstream}
    print_table(("", ""), [(name, tuple(each)) for name, each in lists.items() if each], headed=False)


@contextmanager
def printed_pushes(*, as_json: bool) -> Iterator[list[Pushed]]:
    """Lend a list for what a push does with each view, and print it at the end, also when some of them failed.

    Who gets the error of one view alone prints it; of several, each is printed here.
    """
    done: list[Pushed] = []
    try:
        yield done
    finally:
        done.sort(key=lambda each: each.feature_view)
        if as_json or any(each.failed is None for each in done):
            print_pushed(done, as_json=as_json)
        failed = [each for each in done if each.failed is not None]
        for each in failed if len(failed) > 1 else []:
            say(f"Error: {each.feature_view}: {each.failed}", err=True)


def print_pushed(pushed: Sequence[Pushed], *, as_json: bool) -> None:
    """Print what a push did with each view."""
    if as_json:
        print_json([{**asdict(each), "memory": each.memory} for each in pushed])
        return
    rows = [
        (
            each.feature_view,
            f"{each.written:,}",
            f"{each.deleted:,}",
            f"{each.kept:,}",
            size(each.bytes),
            f"{sum(each.seconds.values()):.2f} s",
            _outcome(each),
        )
        for each in pushed
    ]
    columns = ("feature view", "written", "deleted", "kept", "sent", "time", "")
    print_table(columns, rows, right=(1, 2, 3, 4, 5))


def _outcome(pushed: Pushed) -> str:
    if pushed.failed is not None:
        return "failed, see below"
    if pushed.held_back is not None:
        return f"held back: {pushed.held_back}"
    if pushed.is_pruned:
        return "removed: the project does not push it any more"
    if pushed.full is None and not pushed.written and not pushed.deleted:
        return "unchanged"
    what = "the changes" if pushed.full is None else f"all rows: {pushed.full}"
    if not pushed.is_dry_run:
        return f"sent {what}"
    scanned = "" if pushed.bytes_to_scan is None else f"; {size(pushed.bytes_to_scan)} scanned"
    return f"would send {what}; about {size(pushed.memory)} of Redis's memory{scanned}"


def size(count: float) -> str:
    """Write a number of bytes in a unit that a person reads."""
    for unit in ("B", "kB", "MB"):
        if count < _KILO:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _KILO
    return f"{count:.1f} GB"


def print_vector(vector: FeatureVector, *, as_json: bool) -> None:
    """Print a feature vector with the status and event time of each value."""
    if as_json:
        print_json({"keys": vector.keys, "features": [asdict(each) for each in vector.values]})
        return
    rows = [(each.name, show(each.value), each.status, show(each.event_timestamp)) for each in vector.values]
    print_table(("feature", "value", "status", "event time"), rows)


def print_extract(extract: Extract, *, as_json: bool) -> None:
    """Say what was written where, and how each view answered."""
    if as_json:
        click.echo(extract.to_json(), nl=False)
        return
    rows = [
        (
            each.alias,
            show(each.earliest_answerable) or ("always" if each.is_timeless else "never"),
            f"{each.rows_asking_earlier:,}",
            _shares(each.null_shares),
        )
        for each in extract.views
    ]
    print_table(("feature view", "answers from", "rows asking earlier", "share of nulls"), rows, right=(2,))
    say(
        f"{extract.path}: {extract.rows:,} rows, {len(extract.service.feature_names)} features; "
        f"how it was made is in {extract.sidecar.name}",
        err=True,
    )
    print_exposure(extract.service)


def show(value: Any) -> str:
    """Write a value as a person reads it; moments are in UTC."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        text = value.replace(tzinfo=None).isoformat(sep=" ")
        return f"{text}Z" if value.tzinfo else text
    return str(value)


@contextmanager
def progress_bars(unit: str) -> Iterator[Callable[[str, int], None]]:
    """Show on stderr how far each task is, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda name, done: None
        return
    from rich.markup import escape
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,} {task.fields[unit]}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, Any] = {}

        def update(name: str, done: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(escape(printable(name)), total=None, unit=unit)
            progress.update(tasks[name], completed=done)

        yield update


def print_exposure(service: FeatureService) -> None:
    """Print the YAML of an exposure for a service that the project does not define."""
    if service.location is not None or any(each.alias == service.name for each in service.selections):
        return
    references = [  # in quotes where they hold a comma, which would end them in a list of YAML
        f"\"ref('{each.view.name}', v={each.view.version})\"" if each.view.version else f"ref('{each.view.name}')"
        for each in service.selections
    ]
    lines = [
        "# To keep these features, add an exposure:",
        "exposures:",
        f"  - name: {service.name}",
        "    type: ml",
        "    owner: {name: ..., email: ...}",
        f"    depends_on: [{', '.join(references)}]",
        "    config:",
        "      meta:",
        "        feature_service:",
        "          features:",
        *(f"            {_entry(each)}" for each in service.selections),
    ]
    for line in lines:
        say(line, err=True)


def _entry(selection: Selection) -> str:
    """Write a view's entry of a feature service in YAML; with keys where the spine calls them otherwise."""
    view, features = selection.view, f"[{', '.join(selection.features)}]"
    if selection.spine_keys == view.join_keys:
        return f"{view.reference}: {features}"
    columns = dict(zip(view.join_keys, selection.spine_keys, strict=True))
    keys = {each.name: [columns[key] for key in each.join_keys] for each in view.entities}
    written = ", ".join(
        f"{name}: {named[0] if len(named) == 1 else '[' + ', '.join(named) + ']'}" for name, named in keys.items()
    )
    return f"{view.name}: {{view: {view.reference}, keys: {{{written}}}, features: {features}}}"


def _shares(shares: Mapping[str, float]) -> str:
    """Write the shares of a view's features, of many the highest."""
    shown = sorted(shares, key=lambda name: -shares[name])[:_MOST_SHARES] if len(shares) > _MOST_SHARES else [*shares]
    more = [f"and {len(shares) - len(shown)} more"] if len(shown) < len(shares) else []
    return ", ".join([*(f"{name} {_share(shares[name])}" for name in shown), *more])


def _share(share: float) -> str:
    """Write a share in per cent; only none at all is 0%."""
    return "<0.1%" if 0 < share < _SMALLEST_SHOWN else f"{share:.1%}".replace(".0%", "%")


def _view_facts(view: FeatureView) -> dict[str, Any]:
    return {
        "name": view.reference,
        "entities": {entity.name: entity.join_keys for entity in view.entities},
        "history": str(view.history),
        "ttl": None if view.ttl is None else format_duration(view.ttl),
        "lag": None if view.lag is None else format_duration(view.lag),
        "online": view.online,
        "deprecation_date": None if view.deprecation_date is None else view.deprecation_date.isoformat(),
        "features": [feature.name for feature in view.features],
    }


def _service_facts(service: FeatureService) -> dict[str, Any]:
    return {"name": service.name, "join_keys": service.join_keys, "features": service.feature_names}


def _entities(view: FeatureView) -> str:
    return ", ".join(f"{entity.name} ({', '.join(entity.join_keys)})" for entity in view.entities)


def _name(view: FeatureView) -> str:
    date = view.deprecation_date
    return view.reference if date is None else f"{view.reference} (deprecated from {date.date().isoformat()})"


def _ttl(view: FeatureView) -> str:
    return "" if view.ttl is None else format_duration(view.ttl)


def _names(features: Iterable[Any]) -> str:
    return ", ".join(feature.name for feature in features)


def _console() -> Console:
    """Write to stdout; into a pipe or file, lines are never wrapped to the width of a terminal."""
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_WIDE)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, headed: bool = True, right: Sequence[int] = ()
) -> None:
    """Print a table, unless it has no rows."""
    table = Table(show_header=headed, box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for at, name in enumerate(columns):
        table.add_column(name, justify="right" if at in right else "left", overflow="fold", no_wrap=at == 0)
    for row in rows:
        table.add_row(*map(_shown, row))
    if table.rows:
        console = _console()
        console.print(table)
        console.print()


def _shown(cell: Cell) -> Text:
    """Make a cell of what may hold anything."""
    return Text("\n".join(map(printable, cell)) if isinstance(cell, tuple) else printable(str(cell)))


def print_json(content: Any) -> None:
    """Print what may hold values of all our types."""
    click.echo(json.dumps(_finite(content), indent=2, default=_as_json, ensure_ascii=False))


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, (list, tuple)) else value


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (date, Decimal, UUID)):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(type(value).__name__)
