"""Guesses which columns identify what a model describes, and what that is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from feature_sync.adopting.counting import Counter
from feature_sync.adopting.names import (
    NO_TIME,
    entity_of_column,
    entity_of_model,
    happened_rank,
    identifies,
    is_generic,
    is_own_key,
    may_be_personal,
    words,
    written_rank,
)
from feature_sync.adopting.table import Table, TableColumn
from feature_sync.definitions import Entity
from feature_sync.errors import RequestError

_MOST_BEFORE_TIME = 3
_MOST_COUNTED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyGuess:
    """The columns that identify an entity, and why.

    `is_of_rows`: no two rows share them, somebody or their name says. `times`: columns of time that are part of what
    somebody declared unique.
    """

    columns: tuple[TableColumn, ...]
    reason: str
    is_of_rows: bool = False
    times: tuple[TableColumn, ...] = ()

    @property
    def spoken(self) -> str:
        """The columns as a person says them."""
        return " and ".join(column.name for column in self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityGuess:
    """An entity and why its name and columns are these."""

    entity: Entity
    reason: str


def guess_keys(table: Table, event_time: TableColumn | None, counter: Counter | None) -> KeyGuess:
    """Guess from what the project declares, then from names, then from counts.

    Raises:
        RequestError: No column looks like a key.
    """
    if guess := _declared(table) or _own(table) or _before_time(table, event_time, counter):
        return guess
    candidates = [each for each in table.facts() if _may_identify(each)]
    identifying = [each for each in candidates if _names_something(each, table)]
    if len(identifying) == 1:
        return KeyGuess(columns=tuple(identifying), reason="its name")
    naming = identifying or [each for each in candidates if each.is_name]
    if len(naming) == 1:
        return KeyGuess(columns=tuple(naming), reason="the only column that names something")
    unique = counter.unique_columns(table, naming[:_MOST_COUNTED]) if counter is not None and naming else []
    if unique:
        return KeyGuess(columns=(unique[0],), reason="no two rows share it", is_of_rows=True)
    if identifying:
        return KeyGuess(columns=(identifying[0],), reason="its name, the first of several")
    raise _unknown(table, candidates or table.columns)


def _unknown(table: Table, columns: Sequence[TableColumn]) -> RequestError:
    names = ", ".join(each.name for each in columns)
    return RequestError(
        f"{table.relation.location}: no column of it looks like a key; say what it describes with "
        f"--entity NAME=COLUMN, of {names}"
    )


def name_entities(table: Table, keys: KeyGuess, known: Mapping[tuple[str, ...], str]) -> list[EntityGuess]:
    """Name what the columns identify: as other feature views do, as `relationships` tests say, or by the column."""
    columns = [column.name for column in keys.columns]
    found: list[EntityGuess] = []
    reason = keys.reason
    for join_keys, name in sorted(known.items(), key=lambda each: -len(each[0])):
        if set(join_keys) <= set(columns) and not any(map(is_generic, join_keys)):
            elsewhere = Entity(name=name, join_keys=join_keys)
            found.append(EntityGuess(entity=elsewhere, reason=f"{reason}; named as in other feature views"))
            columns = [each for each in columns if each not in join_keys]
    for column in columns:
        if column in table.related:
            name, why = entity_of_model(table.related[column]), f"; it is one of {table.related[column]}"
        elif is_own_key(column, table.name):
            name, why = entity_of_model(table.name), ""
        else:
            name, why = entity_of_column(column), ""
        found.append(EntityGuess(entity=Entity(name=name, join_keys=(column,)), reason=f"{reason}{why}"))
    order = [column.name for column in keys.columns]
    found.sort(key=lambda each: order.index(each.entity.join_keys[0]))
    return _told_apart(found)


def other_keys(table: Table, keys: KeyGuess) -> list[TableColumn]:
    """List the columns that identify something else."""
    return [
        column
        for column in table.facts()
        if column not in keys.columns
        and column.may_be_key
        and (column.name in table.related or (identifies(column.name) and column.name.lower() != "id"))
    ]


def _declared(table: Table) -> KeyGuess | None:
    """Take the first key that somebody declares unique; one made of others' hashes only if there is no other."""
    found: list[KeyGuess] = []
    for key in table.keys:
        columns = table.named(key.columns) or ()
        times = tuple(each for each in columns if _is_like_a_time(each))
        rest = tuple(each for each in columns if each not in times)
        if rest and all(each.may_be_key and each.name not in table.own_columns for each in rest):
            found.append(KeyGuess(columns=rest, reason=key.reason, is_of_rows=not times, times=times))
    found.sort(key=lambda guess: any("surrogate" in words(each.name) for each in guess.columns))
    return found[0] if found else None


def _own(table: Table) -> KeyGuess | None:
    """Take the column that is named as the model's own key."""
    for column in table.facts():
        if _may_identify(column) and is_own_key(column.name, table.name):
            return KeyGuess(columns=(column,), reason="named as this model's own key", is_of_rows=True)
    return None


def _before_time(table: Table, event_time: TableColumn | None, counter: Counter | None) -> KeyGuess | None:
    """Take the few columns that stand before the event time; among them, those whose names identify something.

    Before a time of writing stands everything else as well, so there only such names count. One of several that no two
    rows share identifies the rows alone if it names something; a number that differs everywhere measures or counts.
    """
    if event_time is None:
        return None
    before = [each for each in table.columns[: table.columns.index(event_time)] if _may_identify(each)]
    chosen = [each for each in before if _names_something(each, table)]
    if not chosen and written_rank(event_time.name) is None:
        chosen = before
    if not 1 <= len(chosen) <= _MOST_BEFORE_TIME:
        return None
    named = [each for each in chosen if _names_something(each, table) or each.is_name]
    is_plain = len(chosen) == 1 and named
    different = counter.unique_columns(table, chosen) if counter is not None and not is_plain else []
    if unique := [each for each in different if each in named]:
        return KeyGuess(columns=(unique[0],), reason="no two rows share it", is_of_rows=True)
    if not (rest := [each for each in chosen if each not in different]):
        raise _unknown(table, chosen)
    return KeyGuess(columns=tuple(rest), reason=f"stands before {event_time.name}")


def _names_something(column: TableColumn, table: Table) -> bool:
    return identifies(column.name) or column.name in table.related


def _may_identify(column: TableColumn) -> bool:
    """Tell whether a guess may take a column for a key: no time, no person's name, no decimal unless so called."""
    is_measure = column.kind is not None and column.kind.kind == "decimal" and not identifies(column.name)
    is_fit = column.may_be_key and not is_measure
    return is_fit and not _is_like_a_time(column) and not may_be_personal(column.name)


def _is_like_a_time(column: TableColumn) -> bool:
    """Tell whether a column is a time, or by its name would be one if its type were known."""
    is_named_like_one = written_rank(column.name) is not None or happened_rank(column.name) < NO_TIME
    return column.is_time or column.is_uncast_time or (column.data_type is None and is_named_like_one)


def _told_apart(guesses: Sequence[EntityGuess]) -> list[EntityGuess]:
    """Call an entity by its column where two would have one name."""
    names = [each.entity.name for each in guesses]
    return [
        each
        if names.count(each.entity.name) == 1
        else EntityGuess(
            entity=Entity(name="_".join(each.entity.join_keys).lower(), join_keys=each.entity.join_keys),
            reason=each.reason,
        )
        for each in guesses
    ]
