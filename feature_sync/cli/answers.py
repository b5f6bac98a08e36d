"""Feature vectors and training sets, as tables or JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import click

from feature_sync.cli.documents import of_vector
from feature_sync.cli.saying import say
from feature_sync.cli.tables import format_value, print_json, print_table
from feature_sync.definitions import FeatureService, Selection

if TYPE_CHECKING:
    from feature_sync.serving.vectors import FeatureVector
    from feature_sync.store import FeatureStore
    from feature_sync.training import Extract, TrainingSet

_SMALLEST_SHARE = 0.001
_MOST_SHARES = 8


def print_vector(vector: FeatureVector, *, as_json: bool) -> None:
    """Print a feature vector with the status and event time of each value."""
    if as_json:
        print_json(of_vector(vector))
        return
    statuses, moments = vector.statuses, vector.event_timestamps
    rows = [(name, format_value(value), statuses[name], format_value(moments[name])) for name, value in vector.items()]
    print_table(("feature", "value", "status", "event time"), rows)


def ask_latest(store: FeatureStore, of: str | None, training: dict[str, Any]) -> TrainingSet:
    """Ask for entities as of the present moment.

    Raises:
        click.UsageError: An option is given that makes no sense for them.
    """
    service, entities, features = (training.pop(name) for name in ("service", "spine", "features"))
    training.pop("ordered")
    if given := [name.replace("_", "-") for name, value in training.items() if value]:
        raise click.UsageError(f"--latest asks as of one moment, so --{given[0]} makes no sense with it")
    return store.get_latest(service, entities, of=of, features=features)


def print_extract(extract: Extract, *, as_json: bool) -> None:
    """Print the file that was written, and how each view answered; the sidecar itself with `as_json`."""
    if as_json:
        click.echo(extract.to_json(), nl=False)
        return
    rows = [
        (
            each.alias,
            format_value(each.earliest_answerable) or ("always" if each.is_timeless else "never"),
            f"{each.rows_asking_earlier:,}",
            _shares(each.null_shares),
        )
        for each in extract.views
    ]
    print_table(("feature view", "answers from", "rows asking earlier", "share of nulls"), rows, right=(2,))
    say(
        f"{extract.path}: {extract.rows:,} rows, {len(extract.service.feature_names)} features; "
        f"how it was made is in {PurePath(extract.sidecar).name}",
        err=True,
    )
    print_exposure(extract.service)


def print_exposure(service: FeatureService) -> None:
    """Print the YAML of an exposure for a service that the project does not define."""
    if service.location is not None or any(each.alias == service.name for each in service.selections):
        return
    references = [  # quoted if they hold a comma, which would end the item of a YAML flow sequence
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
    """Write a view's entry of a feature service in YAML; with `keys` if the spine's columns have other names."""
    view, features = selection.view, f"[{', '.join(selection.features)}]"
    if selection.spine_keys == view.join_keys:
        return f"{view.reference}: {features}"
    columns = dict(zip(view.join_keys, selection.spine_keys, strict=True))
    keys = {each.name: [columns[key] for key in each.join_keys] for each in view.entities}
    mapping = ", ".join(
        f"{name}: {named[0] if len(named) == 1 else '[' + ', '.join(named) + ']'}" for name, named in keys.items()
    )
    return f"{view.name}: {{view: {view.reference}, keys: {{{mapping}}}, features: {features}}}"


def _shares(shares: Mapping[str, float]) -> str:
    """Write the shares of a view's features; only the highest if there are more than `_MOST_SHARES`."""
    names = sorted(shares, key=lambda name: -shares[name])[:_MOST_SHARES] if len(shares) > _MOST_SHARES else [*shares]
    more = [f"and {len(shares) - len(names)} more"] if len(names) < len(shares) else []
    return ", ".join([*(f"{name} {_share(shares[name])}" for name in names), *more])


def _share(share: float) -> str:
    """Write a share as a percentage; 0% means exactly none."""
    return "<0.1%" if 0 < share < _SMALLEST_SHARE else f"{share:.1%}".replace(".0%", "%")
