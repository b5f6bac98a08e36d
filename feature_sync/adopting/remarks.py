"""What a person should know beside a proposal: settings to want instead, what is unknown, what else could be meant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from feature_sync.adopting.grain import Grain
from feature_sync.adopting.keys import other_keys
from feature_sync.adopting.names import NO_TIME, happened_rank, is_update_time, may_be_personal
from feature_sync.adopting.ranking import doubt, likely_times
from feature_sync.adopting.table import Table
from feature_sync.adopting.times import TimeGuess, uncast_times


def remarks(table: Table, grain: Grain, dated: TimeGuess | None) -> list[str]:
    """Say, in the YAML, which settings a person may want instead."""
    if dated is None and not table.keeps_validity:
        return ["timeless: true, in place of latest_only, if its facts never change: only a person can say so"]
    found = []
    chosen = dated.column if dated is not None else None
    if others := [each.column.name for each in likely_times(grain) if each.column != chosen and not each.is_written]:
        found.append(f"a row is complete at the last of its times; it also has {', '.join(others)}")
    if "ttl" in (table.node.meta.get("feature_view_defaults") or {}):
        return found
    counted = grain.counts_of(dated)
    span = f"; its rows span {_spoken(counted.span)}" if counted and counted.span >= timedelta(hours=1) else ""
    return [*found, f"ttl: 30d  # the oldest age at which a row may answer; without it a row of any age does{span}"]


def hints(table: Table, grain: Grain, dated: TimeGuess | None) -> list[str]:
    """Say, beside the YAML, what is unknown and what else could be meant."""
    found: list[str] = []
    if grain.counts is not None and not grain.are_counts_telling:
        count = "is empty" if grain.counts.rows == 0 else "has one row"
        found.append(f"it {count}, so nothing tells whether keys repeat; what is proposed follows from names and tests")
    if dated is None and not table.keeps_validity:
        found += _hints_without_history(table, grain)
    if dated is not None and (why := doubt(dated, grain)):
        found.append(f"{why}; is it when a row was complete?")
    found += _hints_of_corrections(grain, dated)
    if dated is not None and not grain.repeats and grain.are_counts_telling:
        found.append(f"{grain.in_numbers}; if dbt overwrites them, it needs latest_only: true and no event_time")
    if dated is not None and table.batched_readers and table.configured_time is None:
        readers = ", ".join(table.batched_readers)
        found.append(
            f"with event_time, {readers} will read only the rows of its own batch, as dbt's microbatches do; "
            f"ref('{table.name}').render() there reads all"
        )
    if others := other_keys(table, grain.keys):
        names = ", ".join(column.name for column in others)
        found.append(f"it could describe something else, by {names}; if so, say --entity NAME=COLUMN")
    found += [
        f"the key {column.name} may be personal data, and stands in the keys of Redis"
        for column in grain.keys.columns
        if may_be_personal(column.name)
    ]
    return found


def _hints_of_corrections(grain: Grain, dated: TimeGuess | None) -> Iterator[str]:
    counted = grain.counts_of(dated)
    written = next((each.column.name for each in grain.times if each.is_written), None)
    if dated is None or dated.is_written or written is None or counted is None or counted.moments == counted.timed:
        return
    yield (
        f"{counted.timed - counted.moments:,} of its rows share their {dated.column.name} with another of the same "
        f"{grain.keys.spoken}; if they correct it, known_at: {written} lets none answer before it was written"
    )


def _hints_without_history(table: Table, grain: Grain) -> list[str]:
    updated = next((each.name for each in table.facts() if each.is_time and is_update_time(each.name)), None)
    strategy = f"strategy: timestamp, updated_at: {updated}" if updated else "strategy: check, check_cols: all"
    keys = [column.name for column in grain.keys.columns]
    key = keys[0] if len(keys) == 1 else f"[{', '.join(keys)}]"
    snapshot = f"a dbt snapshot of it (unique_key: {key}, {strategy}) keeps one from now on: run init on that"
    hints = [f"it serves but cannot train, for it keeps no past; {snapshot}"]
    likely = [each.column.name for each in likely_times(grain) if happened_rank(each.column.name) < NO_TIME]
    if uncast := uncast_times(table):
        hints.append(f"{', '.join(uncast)} is named like a time: cast it in the model, and run init again")
    if likely:
        hints.append(f"if a row never changes once it is written, --event-time {likely[0]} lets it train")
    return hints


def _spoken(span: timedelta) -> str:
    """Say a span in whole days; a shorter one in whole hours.

    >>> _spoken(timedelta(days=98, seconds=5)), _spoken(timedelta(minutes=250))
    ('98 days', '4 hours')
    """
    return f"{span.days} days" if span.days > 1 else f"{span // timedelta(hours=1)} hours"
