"""Puts the guesses together: keys, history, times and features of one model, as a proposal."""

from __future__ import annotations

from collections.abc import Mapping

from feature_sync.adopting.asked import Asked, asked_entities, asked_keys, asked_time
from feature_sync.adopting.counting import Counter
from feature_sync.adopting.features import guess_features
from feature_sync.adopting.grain import Grain
from feature_sync.adopting.keys import EntityGuess, KeyGuess, guess_keys, name_entities
from feature_sync.adopting.proposal import Proposal, Setting
from feature_sync.adopting.ranking import best_time, likely_times
from feature_sync.adopting.remarks import hints, remarks
from feature_sync.adopting.table import Table
from feature_sync.adopting.times import TimeGuess, created_timestamp, event_times, guess_lag, to_count
from feature_sync.dbt.schema_file import Place
from feature_sync.errors import RequestError
from feature_sync.yaml_lines import write_name


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
    counter = None if table.keeps_validity else counter  # how often its keys come back would tell nothing
    times = [asked_time(table, asked.event_time)] if asked.event_time else event_times(table)
    if asked.entities:
        keys = asked_keys(table, asked)
        entities = asked_entities(keys, asked)
    else:
        started = table.validity[0] if table.validity is not None else None
        keys = guess_keys(table, times[0].column if times else started, counter)
        entities = tuple(name_entities(table, keys, known))
    times = to_count([_in_key(guess, keys) for guess in times if guess.column not in keys.columns])
    counted = [each.column for each in times if each.column.is_time]
    grain = Grain(
        keys=keys,
        counts=counter.rows_of(table, keys.columns, counted) if counter is not None else None,
        times=tuple(times),
    )
    dated = _dated(table, grain, asked)
    return _proposal(table, place, file, grain, entities, dated)


def _proposal(
    table: Table, place: Place, file: str, grain: Grain, entities: tuple[EntityGuess, ...], dated: TimeGuess | None
) -> Proposal:
    created = created_timestamp(table, dated.column) if dated is not None else None
    settings = _settings(table, grain, dated, created)
    reserved = {column.name for column in grain.keys.columns}
    reserved |= {each.column.name for each in (dated, created) if each is not None} | table.reserved
    features = guess_features(table, reserved)
    if not features.names:
        why = "; ".join(features.remarks) or "there are only keys and times"
        raise RequestError(
            f"{table.relation.location}: no column is left to be a feature ({why}); if one may be, write the YAML"
        )
    return Proposal(
        name=table.name if place.version is None else f"{table.name}.v{place.version}",
        place=place,
        file=file,
        event_time=_event_time(dated) if dated is not None and table.configured_time is None else None,
        entities=entities,
        settings=settings,
        features=features,
        remarks=tuple(remarks(table, grain, dated)),
        hints=tuple(hints(table, grain, dated)),
    )


def _in_key(guess: TimeGuess, keys: KeyGuess) -> TimeGuess:
    """Trust a time more that somebody declares unique together with the key."""
    if guess.column not in keys.times:
        return guess
    return TimeGuess(column=guess.column, reason=f"with {keys.spoken} in {keys.reason}", is_certain=True)


def _dated(table: Table, grain: Grain, asked: Asked) -> TimeGuess | None:
    """Choose the event time of a view that keeps history; None where each entity has one row."""
    if table.keeps_validity:
        return None
    if not grain.repeats and not asked.event_time and not _keeps_history(table, grain):
        return None
    try:
        return best_time(table, grain)
    except RequestError as unknown:
        if not grain.repeats or grain.times:
            raise
        raise RequestError(f"{unknown}; {grain.in_numbers}: a key of one row is given with --entity") from unknown


def _keeps_history(table: Table, grain: Grain) -> bool:
    """Tell whether a table whose keys do not repeat has rows that stay as they are."""
    if grain.keys.times:
        return True
    if table.configured_time is not None and table.configured_time.is_date:
        return True  # a date needs a lag, and a row that is overwritten cannot have one
    return bool(likely_times(grain)) and not grain.are_counts_telling and not grain.keys.is_of_rows


def _settings(table: Table, grain: Grain, dated: TimeGuess | None, created: TimeGuess | None) -> dict[str, Setting]:
    settings: dict[str, Setting] = {}
    started = dated.column if dated is not None else None
    if table.validity is not None:
        started = table.validity[0]
        if not table.is_snapshot:
            reason = "its rows hold from one moment until another"
            for key, column in zip(("valid_from", "valid_to"), table.validity, strict=True):
                settings[key] = Setting(value=write_name(column.name), reason=reason)
    elif table.is_snapshot:
        return settings
    if started is None:
        reason = grain.in_numbers if grain.are_counts_telling else grain.keys.reason
        return {"latest_only": Setting(value="true", reason=f"{reason}: one for each, so it seems overwritten")}
    if created is not None and "created_timestamp" not in table.defaults:
        settings["created_timestamp"] = Setting(value=write_name(created.column.name), reason=created.reason)
    if "lag" not in table.defaults and (lag := guess_lag(started, grain.counts_of(dated))):
        settings["lag"] = Setting(value=lag[0], reason=lag[1])
    return settings


def _event_time(dated: TimeGuess) -> Setting:
    kind = dated.column.kind
    zone = "; read as UTC" if kind is not None and kind.kind == "timestamp" else ""
    return Setting(value=write_name(dated.column.name), reason=f"{dated.reason}{zone}")
