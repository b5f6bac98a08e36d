"""Puts the guesses together: keys, history, times and features of one model, as a proposal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from feature_sync.adopting.counting import Counter, Counts
from feature_sync.adopting.features import guess_features
from feature_sync.adopting.keys import EntityGuess, KeyGuess, guess_keys, name_entities, other_keys
from feature_sync.adopting.names import NO_TIME, happened_rank, is_update_time, may_be_personal
from feature_sync.adopting.proposal import Proposal, Setting
from feature_sync.adopting.table import Table
from feature_sync.adopting.times import TimeGuess, best_time, created_timestamp, event_times, guess_lag, to_count
from feature_sync.dbt.schema_file import Place
from feature_sync.dbt.yaml_lines import write_name
from feature_sync.definitions import Entity, format_duration
from feature_sync.errors import RequestError

_FEWEST_TELLING = 2
"""The fewest rows that can tell whether keys repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person says in place of a guess: entities with their columns, and the event time."""

    entities: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    event_time: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grain:
    """What a table's rows are: what identifies them, what the warehouse counted, and which times there are."""

    keys: KeyGuess
    counts: Counts | None
    times: tuple[TimeGuess, ...]

    @property
    def are_counts_telling(self) -> bool:
        return self.counts is not None and self.counts.rows >= _FEWEST_TELLING

    @property
    def repeats(self) -> bool:
        return self.counts is not None and self.counts.rows > self.counts.entities

    @property
    def in_numbers(self) -> str:
        if self.counts is None:
            return "not counted"
        return f"{self.counts.rows:,} rows of {self.counts.entities:,} {self.keys.spoken}"


def propose(
    table: Table,
    place: Place,
    file: str,
    *,
    asked: Asked,
    counter: Counter | None,
    known: Mapping[tuple[str, ...], str],
) -> Proposal:
    """Guess all settings of a model; `known` names the entities of other feature views by their join columns.

    Raises:
        RequestError: Nothing tells what identifies a row, or when one was complete.
    """
    times = _times(table, asked)
    if asked.entities:
        keys = _asked_keys(table, asked)
        entities = _asked_entities(keys, asked)
    else:
        keys = guess_keys(table, times[0].column if times else None, counter)
        entities = tuple(name_entities(table, keys, known))
    times = [_in_key(guess, keys) for guess in times]
    times.sort(key=lambda guess: not guess.is_certain)
    counted = [each for each in to_count(times) if each not in keys.columns]
    grain = _Grain(
        keys=keys,
        counts=counter.rows_of(table, keys.columns, counted) if counter is not None else None,
        times=tuple(each for each in times if each.column not in keys.columns),
    )
    dated = _dated(table, grain, asked)
    return _proposal(table, place, file, grain, entities, dated)


def _proposal(
    table: Table, place: Place, file: str, grain: _Grain, entities: tuple[EntityGuess, ...], dated: TimeGuess | None
) -> Proposal:
    created = created_timestamp(table, dated.column) if dated is not None else None
    settings = _settings(table, grain, dated, created)
    reserved = {column.name for column in grain.keys.columns}
    reserved |= {each.column.name for each in (dated, created) if each is not None}
    features = guess_features(table, reserved)
    if not features.names:
        why = "; ".join(features.remarks) or "there are only keys and times"
        raise RequestError(
            f"{table.relation.location}: no column is left to be a feature ({why}); if one may be, write the YAML"
        )
    is_new = not (table.node.config or {}).get("event_time")
    return Proposal(
        name=table.name if place.version is None else f"{table.name}.v{place.version}",
        place=place,
        file=file,
        event_time=_event_time(dated) if dated is not None and is_new else None,
        entities=entities,
        settings=settings,
        features=features,
        remarks=tuple(_remarks(table, grain, dated)),
        hints=tuple(_hints(table, grain, dated)),
    )


def _times(table: Table, asked: Asked) -> list[TimeGuess]:
    if table.node.resource_type == "snapshot":
        if asked.event_time:
            raise RequestError(
                f"{table.relation.location}: a snapshot's event time is dbt's own; leave out --event-time"
            )
        return []
    if asked.event_time is None:
        return event_times(table)
    column = table.column(asked.event_time)
    configured = (table.node.config or {}).get("event_time")
    if configured not in (None, column.name):
        raise RequestError(
            f"{table.relation.location}: config.event_time is {configured!r} already; change it there, or leave out "
            "--event-time"
        )
    if column.data_type is not None and not column.is_time:
        raise RequestError(
            f"{table.relation.location}: {column.name} is {column.data_type}, which is no time; cast it in the model"
        )
    return [TimeGuess(column=column, reason="as asked")]


def _in_key(guess: TimeGuess, keys: KeyGuess) -> TimeGuess:
    """Trust a time more that somebody declares unique together with the key."""
    if guess.column not in keys.times:
        return guess
    return TimeGuess(column=guess.column, reason=f"with {keys.spoken} in {keys.reason}", is_certain=True)


def _asked_keys(table: Table, asked: Asked) -> KeyGuess:
    columns = tuple(table.column(name) for names in asked.entities.values() for name in names)
    for column in columns:
        if not column.may_be_key:
            raise RequestError(
                f"{table.relation.location}: {column.name} is {column.data_type}, which cannot be a join key; "
                "cast it in the model"
            )
    return KeyGuess(columns=columns, reason="as asked")


def _asked_entities(keys: KeyGuess, asked: Asked) -> tuple[EntityGuess, ...]:
    columns = iter(keys.columns)
    return tuple(
        EntityGuess(entity=Entity(name=name, join_keys=tuple(next(columns).name for _ in names)), reason="as asked")
        for name, names in asked.entities.items()
    )


def _dated(table: Table, grain: _Grain, asked: Asked) -> TimeGuess | None:
    """Choose the event time of a view that keeps history; None where each entity has one row."""
    if table.node.resource_type == "snapshot":
        return None
    if not grain.repeats and not asked.event_time and not _keeps_history(table, grain):
        return None
    try:
        return best_time(table, grain.times, grain.counts)
    except RequestError as unknown:
        if not grain.repeats or grain.times:
            raise
        raise RequestError(f"{unknown}; {grain.in_numbers}: a key of one row is given with --entity") from unknown


def _keeps_history(table: Table, grain: _Grain) -> bool:
    """Tell whether a table whose keys do not repeat has rows that stay as they are."""
    if grain.keys.times:
        return True
    configured = (table.node.config or {}).get("event_time")
    if configured and table.column(str(configured)).is_date:
        return True  # a date needs a lag, and a row that is overwritten cannot have one
    return bool(grain.times) and not grain.are_counts_telling and not grain.keys.is_of_rows


def _settings(table: Table, grain: _Grain, dated: TimeGuess | None, created: TimeGuess | None) -> dict[str, Setting]:
    settings: dict[str, Setting] = {}
    defaults = table.node.meta.get("feature_view_defaults") or {}
    if table.node.resource_type == "snapshot":
        return settings
    if dated is None:
        reason = grain.in_numbers if grain.are_counts_telling else f"{grain.keys.reason}: one row for each, it seems"
        return {"latest_only": Setting(value="true", reason=f"{reason}; what a row said before is overwritten")}
    if created is not None and "created_timestamp" not in defaults:
        settings["created_timestamp"] = Setting(value=write_name(created.column.name), reason=created.reason)
    counted = grain.counts.times.get(dated.column.name) if grain.counts is not None else None
    if "lag" not in defaults and (lag := guess_lag(dated.column, counted)):
        settings["lag"] = Setting(value=lag[0], reason=lag[1])
    return settings


def _remarks(table: Table, grain: _Grain, dated: TimeGuess | None) -> list[str]:
    """Say, in the YAML, which settings a person may want instead."""
    if dated is None and table.node.resource_type != "snapshot":
        return ["timeless: true, in place of latest_only, if its facts never change: only a person can say so"]
    if "ttl" in (table.node.meta.get("feature_view_defaults") or {}):
        return []
    counted = grain.counts.times.get(dated.column.name) if grain.counts is not None and dated is not None else None
    span = f"; its rows span {_spoken(counted.span)}" if counted and counted.span else ""
    return [f"ttl: 30d  # the oldest age at which a row may answer; without it a row of any age does{span}"]


def _hints(table: Table, grain: _Grain, dated: TimeGuess | None) -> list[str]:
    """Say, beside the YAML, what is unknown and what else could be meant."""
    hints: list[str] = []
    if grain.counts is not None and not grain.are_counts_telling:
        count = "is empty" if grain.counts.rows == 0 else "has one row"
        hints.append(f"it {count}, so nothing tells whether keys repeat; what is proposed follows from names and tests")
    if dated is None and table.node.resource_type != "snapshot":
        hints += _hints_without_history(table, grain)
    if dated is not None and not grain.repeats and grain.are_counts_telling:
        hints.append(f"{grain.in_numbers}; if dbt overwrites them, it needs latest_only: true and no event_time")
    if others := other_keys(table, grain.keys):
        names = ", ".join(column.name for column in others)
        hints.append(f"it could describe something else, by {names}; if so, say --entity NAME=COLUMN")
    hints += [
        f"the key {column.name} may be personal data, and stands in the keys of Redis"
        for column in grain.keys.columns
        if may_be_personal(column.name)
    ]
    return hints


def _hints_without_history(table: Table, grain: _Grain) -> list[str]:
    updated = next((each.name for each in table.facts() if each.is_time and is_update_time(each.name)), None)
    strategy = f"strategy: timestamp, updated_at: {updated}" if updated else "strategy: check, check_cols: all"
    keys = [column.name for column in grain.keys.columns]
    key = keys[0] if len(keys) == 1 else f"[{', '.join(keys)}]"
    snapshot = f"a dbt snapshot of it (unique_key: {key}, {strategy}) keeps one from now on: run init on that"
    hints = [f"it serves but cannot train, for it keeps no past; {snapshot}"]
    likely = [each.column.name for each in grain.times if happened_rank(each.column.name) < NO_TIME]
    if likely:
        hints.append(f"if a row never changes once it is written, --event-time {likely[0]} lets it train")
    return hints


def _event_time(dated: TimeGuess) -> Setting:
    kind = dated.column.kind
    zone = "; read as UTC" if kind is not None and kind.kind == "timestamp" else ""
    return Setting(value=write_name(dated.column.name), reason=f"{dated.reason}{zone}")


def _spoken(span: timedelta) -> str:
    """Say a span in whole days; a short one to the minute.

    >>> _spoken(timedelta(days=98, seconds=5)), _spoken(timedelta(hours=4))
    ('98 days', '4h')
    """
    return f"{span.days} days" if span.days > 1 else format_duration(span - span % timedelta(minutes=1))
