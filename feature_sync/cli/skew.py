"""The command that compares served vectors with training, and what it prints."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from feature_sync.cli.options import pass_feature_store
from feature_sync.cli.saying import say

if TYPE_CHECKING:
    from feature_sync.monitor.skew import Skew, SkewExample
    from feature_sync.store import FeatureStore

SKEWED = 3


@click.command()
@click.argument("service")
@click.option(
    "--log",
    required=True,
    metavar="FOLDER|FILE|TABLE",
    help="What ServedLog wrote: a folder of Parquet files, one such file, or schema.table in the warehouse.",
)
@click.option("--since", metavar="MOMENT", help="Compare what was served from this moment on, such as 2013-01-01.")
@click.option("--until", metavar="MOMENT", help="Compare what was served up to this moment, inclusive.")
@click.option(
    "--sample", type=click.IntRange(1), metavar="NUMBER", help="Compare that many vectors, spread evenly over the log."
)
@click.option(
    "--tolerance",
    type=float,
    default=1e-9,
    metavar="SHARE",
    help="The relative difference up to which floats match; the default is 1e-9.",
)
@click.option(
    "--min-match",
    type=click.FloatRange(0, 1),
    default=1.0,
    metavar="SHARE",
    help="Exit 0 if each feature matches in at least this share of the vectors; the default is 1.",
)
@click.option("--redact", is_flag=True, help="Print no keys and no values.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_feature_store
def skew(store: FeatureStore, /, service: str, log: str, *, min_match: float, as_json: bool, **request: Any) -> None:
    """Compare vectors that were served with what training answers for the same moments; exit 3 if they differ."""
    found = store.skew(service, log, **request)
    print_skew(found, as_json=as_json)
    sys.exit(0 if found.is_within(min_match) else SKEWED)


def print_skew(skew: Skew, *, as_json: bool) -> None:
    """Print the features with their match rates, the lags of views, and examples; notes go to stderr."""
    from feature_sync.cli.operations_documents import of_skew
    from feature_sync.cli.tables import print_json, print_table

    if as_json:
        print_json(of_skew(skew))
        return
    columns = ("feature", "feature view", "match", "different", "missing", "extra", "mean difference", "max difference")
    print_table(columns, _features(skew), right=(2, 3, 4, 5, 6, 7))
    lags = ("feature view", "lag as defined", "lag as served", "match", "match with that lag")
    if any(each.observed_lag != each.lag for each in skew.views):
        print_table(lags, _lags(skew), right=(1, 2, 3, 4))
    print_table(
        ("examples", "keys", "served at", "served", "training"), [_example(skew, each) for each in skew.examples]
    )
    for note in _notes(skew):
        say(note, err=True)


def _features(skew: Skew) -> Iterator[tuple[str, ...]]:
    for each in skew.features:
        counts = (f"{number:,}" for number in (each.different, each.missing, each.extra))
        sizes = ("" if size is None else f"{size:.6g}" for size in (each.mean_difference, each.max_difference))
        yield each.name, each.feature_view, _percent(each.match_share), *counts, *sizes


def _lags(skew: Skew) -> Iterator[tuple[str, ...]]:
    for each in skew.views:
        rates = (_percent(number / skew.vectors) for number in (each.matching, each.matching_with_observed))
        name = each.feature_view if each.alias == each.feature_view else f"{each.feature_view} as {each.alias}"
        yield name, _duration(each.lag), _duration(each.observed_lag), *rates


def _example(skew: Skew, example: SkewExample) -> tuple[str, ...]:
    from feature_sync.cli.tables import format_value

    at = format_value(example.served_at)
    if skew.are_values_redacted:
        return example.feature, "hidden", at, "hidden", "hidden"
    keys = ", ".join(f"{name}={value}" for name, value in example.keys.items())
    values = ("null" if value is None else repr(value) for value in (example.served, example.training))
    return example.feature, keys, at, *values


def _notes(skew: Skew) -> Iterator[str]:
    from feature_sync.cli.tables import format_value

    period = " to ".join(format_value(each) for each in (skew.since, skew.until))
    yield f"{skew.matching:,} of {skew.vectors:,} vectors match in every feature; served {period}"
    if skew.other_shape:
        yield f"{skew.other_shape:,} vectors were left out: they have other features, types, defaults or TTLs"
    if skew.other_logic:
        yield f"{skew.other_logic:,} vectors were served by other SQL than that of now, which may be why they differ"


def _percent(share: float) -> str:
    """Write a share; what is not all is never written as 100%."""
    return f"{min(share, 0.9999 if share < 1 else 1):.2%}"


def _duration(duration: timedelta) -> str:
    return str(timedelta(seconds=round(duration.total_seconds())))
