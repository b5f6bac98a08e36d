"""Writes a proposal's settings and hints from the guesses; `RULES` is the order of the YAML."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from feature_sync.adopting import words
from feature_sync.adopting.evidence import TableColumn
from feature_sync.adopting.guesses import Guesses
from feature_sync.adopting.times import doubt, likely_times
from feature_sync.yaml_lines import Line, write_name

_REASONS_TO_LEAVE_OUT: tuple[tuple[Callable[[TableColumn], bool], str], ...] = (
    (lambda column: not column.is_offered, "by its own YAML"),
    (lambda column: column.name == "dbt_is_deleted", "which marks deleted rows: leave those out in the model"),
    (lambda column: words.may_be_personal(column.name), "which may be personal data"),
    (lambda column: column.is_uncast_time, "which is named like a time and is {type}: cast it in the model"),
    (
        lambda column: column.kind is None and column.data_type is not None,
        "whose type {type} cannot be a feature: cast it in the model",
    ),
    (lambda column: column.is_named_as_written and column.may_be_time, "which says when the row was written"),
)
"""Reasons to leave a column out of the features; the first that applies is given."""


def event_time(guesses: Guesses) -> Line | None:
    """Return the line of dbt's own setting `event_time`; None without an event time, or if the project has it."""
    chosen = guesses.event_time
    if chosen is None or guesses.table.configured_time is not None:
        return None
    zone = "; read as UTC" if chosen.column.is_of("timestamp") else ""
    return Line(key="event_time", value=write_name(chosen.column.name), comment=f"{chosen.reason}{zone}")


def _entities(guesses: Guesses) -> Iterator[Line]:
    yield Line(key="entities", below=guesses.entities)


def _validity(guesses: Guesses) -> Iterator[Line]:
    if guesses.table.is_snapshot or guesses.table.validity is None:
        return
    for key, column in zip(("valid_from", "valid_to"), guesses.table.validity, strict=True):
        comment = "its rows hold from one moment until another"
        yield Line(key=key, value=write_name(column.name), comment=comment)


def _latest_only(guesses: Guesses) -> Iterator[Line]:
    if guesses.is_overwritten:
        reason = guesses.in_numbers if guesses.has_enough_rows else guesses.keys.reason
        yield Line(key="latest_only", value="true", comment=f"{reason}: one for each, so it seems overwritten")


def _created_timestamp(guesses: Guesses) -> Iterator[Line]:
    column = _created_column(guesses)
    if column is not None and "created_timestamp" not in guesses.table.defaults:
        reason = "when the row was written; breaks ties"
        yield Line(key="created_timestamp", value=write_name(column.name), comment=reason)


def _lag(guesses: Guesses) -> Iterator[Line]:
    """Yield the lag of a date or a longer period: how long after its event time a row is complete.

    Nothing for moments. The lag is the whole period, since a period stamped with its start is the commonest leak.
    """
    column = guesses.starts_at
    if column is None or "lag" in guesses.table.defaults:
        return
    counted = guesses.counts_of(guesses.event_time)
    parts = words.split(column.name)
    if column.is_of("date"):
        what = "is a date"
    elif counted is not None and counted.are_midnights:
        what = "holds midnights, it seems"
    elif column.data_type is None and parts and parts[-1] in words.DATES:
        what = "is a date, by its name"
    else:
        return
    is_end = not words.PERIOD_ENDS.isdisjoint(parts)  # the end of a week is one day, over at midnight
    period = next((word for word in words.LENGTHS if word in parts and not is_end), "day")
    reason = f"{column.name} {what}: a row that sums the {period} is complete when it is over; 0d if it does not"
    yield Line(key="lag", value=words.LENGTHS.get(period, "1d"), comment=reason)


def _features(guesses: Guesses) -> Iterator[Line]:
    """List all columns except keys, times and those that need the user's decision, which comments name.

    Raises:
        RequestError: No column is left.
    """
    names: list[str] = []
    left_out: dict[str, list[str]] = {}
    reserved = _reserved(guesses)
    for column in guesses.table.data_columns:
        if column.name in reserved:
            continue
        if reason := next((why for applies, why in _REASONS_TO_LEAVE_OUT if applies(column)), None):
            left_out.setdefault(reason.format(type=column.data_type), []).append(column.name)
        else:
            names.append(column.name)
    comments = [f"left out: {', '.join(columns)}, {reason}" for reason, columns in left_out.items()]
    if not names:
        why = "; ".join(comments) or "there are only keys and times"
        raise guesses.table.error(f"no column is left to be a feature ({why}); if one may be, write the YAML")
    yield Line(key="features", names=tuple(names))
    yield from (Line(comment=comment) for comment in comments)


def _other_times(guesses: Guesses) -> Iterator[Line]:
    if guesses.is_overwritten:
        return
    likely = [each.column for each in likely_times(guesses)]
    if others := [each.name for each in likely if each != guesses.starts_at and not each.is_named_as_written]:
        yield Line(comment=f"a row is complete at the last of its times; it also has {', '.join(others)}")


def _alternatives(guesses: Guesses) -> Iterator[Line]:
    """Name the settings that no evidence can decide: `timeless` and `ttl`."""
    if guesses.is_overwritten:
        yield Line(comment="timeless: true, instead of latest_only, if its facts never change: no table can show that")
    elif "ttl" not in guesses.table.defaults:
        counted = guesses.counts_of(guesses.event_time)
        span = f"; its rows span {_span_text(counted.span)}" if counted and counted.span >= timedelta(hours=1) else ""
        yield Line(
            comment=f"ttl: 30d  # the oldest age at which a row may answer; without it a row of any age does{span}"
        )


RULES: tuple[Callable[[Guesses], Iterator[Line]], ...] = (
    _entities,
    _validity,
    _latest_only,
    _created_timestamp,
    _lag,
    _features,
    _other_times,
    _alternatives,
)
"""The settings of a feature view and the comments below them, in the order in which they are written."""


def _too_few_rows(guesses: Guesses) -> Iterator[str]:
    if guesses.counts is not None and not guesses.has_enough_rows:
        count = "is empty" if guesses.counts.rows == 0 else "has one row"
        yield f"it {count}, so it is unknown whether keys repeat; the proposal follows from names and tests"


def _no_history(guesses: Guesses) -> Iterator[str]:
    if not guesses.is_overwritten:
        return
    table = guesses.table
    times = (each.name for each in table.data_columns if each.is_time)
    updated = next((each for each in times if words.written_rank(each) == words.UPDATED), None)
    strategy = f"strategy: timestamp, updated_at: {updated}" if updated else "strategy: check, check_cols: all"
    keys = [column.name for column in guesses.keys.columns]
    key = keys[0] if len(keys) == 1 else f"[{', '.join(keys)}]"
    snapshot = f"a dbt snapshot of it (unique_key: {key}, {strategy}) keeps one from now on: run init on that"
    yield f"it serves but cannot train, since it keeps no history; {snapshot}"
    if table.uncast_times:
        yield f"{table.uncast_times} is named like a time: cast it in the model, and run init again"
    if likely := [each.column.name for each in likely_times(guesses) if each.column.is_named_as_event]:
        yield f"if a row never changes once it is written, --event-time {likely[0]} lets it train"


def _doubtful_time(guesses: Guesses) -> Iterator[str]:
    if guesses.event_time is not None and (why := doubt(guesses.event_time, guesses)):
        yield f"{why}; is it when a row was complete?"


def _corrections(guesses: Guesses) -> Iterator[str]:
    chosen, counted = guesses.event_time, guesses.counts_of(guesses.event_time)
    written = next((each.column.name for each in guesses.times if each.column.is_named_as_written), None)
    if chosen is None or chosen.column.is_named_as_written or written is None or counted is None:
        return
    if shared := counted.timed - counted.moments:
        yield (
            f"{shared:,} of its rows share their {chosen.column.name} with another of the same {guesses.keys.names}; "
            f"if they correct it, known_at: {written} keeps each from answering before it was written"
        )


def _single_rows(guesses: Guesses) -> Iterator[str]:
    if guesses.event_time is not None and not guesses.repeats and guesses.has_enough_rows:
        yield f"{guesses.in_numbers}; if dbt overwrites them, it needs latest_only: true and no event_time"


def _microbatches(guesses: Guesses) -> Iterator[str]:
    """Name the downstream models that would read only part of the rows because of the new `event_time`."""
    if guesses.table.batched_readers and event_time(guesses) is not None:
        yield (
            f"with event_time, {', '.join(guesses.table.batched_readers)} will read only the rows of its own batch, "
            f"as dbt's microbatches do; ref('{guesses.table.name}').render() there reads all"
        )


def _other_keys(guesses: Guesses) -> Iterator[str]:
    table = guesses.table
    others = [
        column.name
        for column in table.data_columns
        if column not in guesses.keys.columns
        and column.may_be_key
        and table.is_identifier(column)
        and (column.name in table.related or column.name.lower() != "id")
    ]
    if others:
        yield f"it could describe something else, by {', '.join(others)}; if so, pass --entity NAME=COLUMN"


def _personal_keys(guesses: Guesses) -> Iterator[str]:
    for column in guesses.keys.columns:
        if words.may_be_personal(column.name):
            yield f"the key {column.name} may be personal data, and becomes part of the keys in Redis"


HINTS: tuple[Callable[[Guesses], Iterator[str]], ...] = (
    _too_few_rows,
    _no_history,
    _doubtful_time,
    _corrections,
    _single_rows,
    _microbatches,
    _other_keys,
    _personal_keys,
)
"""Hints for the user beside the YAML: what is uncertain, and what else the model could be."""


def _created_column(guesses: Guesses) -> TableColumn | None:
    """Return the column with the time of writing; None without one beside the event time."""
    if guesses.event_time is None:
        return None
    others = [
        column for column in guesses.table.data_columns if column != guesses.event_time.column and column.may_be_time
    ]
    written = [(rank, column) for column in others if (rank := words.written_rank(column.name)) is not None]
    return min(written, key=lambda each: each[0])[1] if written else None


def _reserved(guesses: Guesses) -> set[str]:
    """Return the names of keys and times, which are not features."""
    chosen = (guesses.starts_at, _created_column(guesses))
    names = {column.name for column in (*guesses.keys.columns, *chosen) if column is not None}
    return names | guesses.table.reserved


def _span_text(span: timedelta) -> str:
    """Write a span in whole days, or in whole hours if it is shorter than two days.

    >>> _span_text(timedelta(days=98, seconds=5)), _span_text(timedelta(minutes=250))
    ('98 days', '4 hours')
    """
    return f"{span.days} days" if span.days > 1 else f"{span // timedelta(hours=1)} hours"
