"""Guesses the join keys of a model and names the entities that they identify; `RULES` is the order of evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from feature_sync.adopting import words
from feature_sync.adopting.counter import Counter
from feature_sync.adopting.evidence import Table, TableColumn
from feature_sync.adopting.guesses import KeyGuess
from feature_sync.errors import RequestError
from feature_sync.yaml_lines import Line, write_keys

_MOST_BEFORE_TIME = 3
_MOST_COUNTED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyClues:
    """Input of the key rules: the model, its likeliest time, the entities that the user names, and a counter."""

    table: Table
    time: TableColumn | None
    asked: Mapping[str, Sequence[str]]
    counter: Counter

    @property
    def candidates(self) -> list[TableColumn]:
        """The columns that a guess may use as a key."""
        return [column for column in self.table.data_columns if column.may_identify]

    @property
    def identifiers(self) -> list[TableColumn]:
        """The candidates that identify something, by name or by a test."""
        return [column for column in self.candidates if self.table.is_identifier(column)]

    @property
    def naming(self) -> list[TableColumn]:
        """The identifiers; if there are none, the candidates that hold names."""
        return self.identifiers or [column for column in self.candidates if column.holds_names]


def guess_keys(clues: KeyClues) -> KeyGuess:
    """Return the guess of the first rule that makes one.

    Raises:
        RequestError: No column looks like a key, or the user names one that cannot be a key.
    """
    for rule in RULES:
        if guess := rule(clues):
            return guess
    raise _unknown(clues.table, clues.candidates or clues.table.columns)


def _as_asked(clues: KeyClues) -> KeyGuess | None:
    columns = tuple(clues.table.column(name) for names in clues.asked.values() for name in names)
    for column in columns:
        if not column.may_be_key:
            raise clues.table.error(
                f"{column.name} is {column.data_type}, which cannot be a join key; cast it in the model"
            )
    return KeyGuess(columns=columns, reason="as asked") if columns else None


def _declared_unique(clues: KeyClues) -> KeyGuess | None:
    """Take the first key that is declared unique; a surrogate key, which hashes other columns, comes last."""
    found: list[KeyGuess] = []
    for key in clues.table.keys:
        columns = clues.table.named(key.columns) or ()
        times = tuple(each for each in columns if each.is_like_time)
        rest = tuple(each for each in columns if each not in times)
        if rest and all(each.may_be_key and each.name not in clues.table.own_columns for each in rest):
            found.append(KeyGuess(columns=rest, reason=key.reason, is_of_rows=not times, times=times))
    found.sort(key=lambda guess: any("surrogate" in words.split(each.name) for each in guess.columns))
    return found[0] if found else None


def _named_as_own_key(clues: KeyClues) -> KeyGuess | None:
    own = (each for each in clues.candidates if words.is_own_key(each.name, clues.table.name))
    return _first(own, "named as this model's own key", is_of_rows=True)


def _before_the_time(clues: KeyClues) -> KeyGuess | None:
    """Take the identifiers among the columns that precede the event time; without identifiers, all of these columns.

    A time of writing is usually the last column, so before it only identifiers count. A unique column identifies rows
    by itself if it is an identifier or holds names; a number that differs in every row is a measure or a counter.
    """
    table, time = clues.table, clues.time
    if time is None:
        return None
    before = [each for each in table.columns[: table.columns.index(time)] if each.may_identify]
    chosen = [each for each in before if table.is_identifier(each)]
    if not chosen and not time.is_named_as_written:
        chosen = before
    if not 1 <= len(chosen) <= _MOST_BEFORE_TIME:
        return None
    naming = [each for each in chosen if table.is_identifier(each) or each.holds_names]
    is_plain = len(chosen) == 1 and naming
    different = [] if is_plain else clues.counter.unique_columns(chosen)
    if unique := [each for each in different if each in naming]:
        return _first(unique, "no two rows share it", is_of_rows=True)
    if not (rest := [each for each in chosen if each not in different]):
        raise _unknown(table, chosen)
    return KeyGuess(columns=tuple(rest), reason=f"stands before {time.name}")


def _only_identifier(clues: KeyClues) -> KeyGuess | None:
    return _first(clues.identifiers, "its name") if len(clues.identifiers) == 1 else None


def _only_name(clues: KeyClues) -> KeyGuess | None:
    return _first(clues.naming, "the only column that names something") if len(clues.naming) == 1 else None


def _first_unique(clues: KeyClues) -> KeyGuess | None:
    unique = clues.counter.unique_columns(clues.naming[:_MOST_COUNTED])
    return _first(unique, "no two rows share it", is_of_rows=True)


def _first_identifier(clues: KeyClues) -> KeyGuess | None:
    return _first(clues.identifiers, "its name, the first of several")


RULES: tuple[Callable[[KeyClues], KeyGuess | None], ...] = (
    _as_asked,
    _declared_unique,
    _named_as_own_key,
    _before_the_time,
    _only_identifier,
    _only_name,
    _first_unique,
    _first_identifier,
)
"""The evidence for join keys, best first."""


def _first(columns: Iterable[TableColumn], reason: str, *, is_of_rows: bool = False) -> KeyGuess | None:
    first = next(iter(columns), None)
    return None if first is None else KeyGuess(columns=(first,), reason=reason, is_of_rows=is_of_rows)


def _unknown(table: Table, columns: Sequence[TableColumn]) -> RequestError:
    names = ", ".join(each.name for each in columns)
    return table.error(f"no column of it looks like a key; say what it describes with --entity NAME=COLUMN, of {names}")


def name_entities(clues: KeyClues, keys: KeyGuess, known: Mapping[tuple[str, ...], str]) -> tuple[Line, ...]:
    """Name the entities that join keys identify: as asked, as in other feature views, by a test or by the column.

    Args:
        clues: The input that the keys were guessed from.
        keys: The guess.
        known: The entities of the project's feature views, by their join keys.
    """
    if clues.asked:
        columns = iter(keys.columns)
        found = [(name, tuple(next(columns).name for _ in names), keys.reason) for name, names in clues.asked.items()]
    else:
        found = _named_entities(clues.table, keys, known)
    taken = [name for name, _, _ in found]
    lines: list[Line] = []
    previous = ""
    for name, join_keys, reason in found:
        unique = name if taken.count(name) == 1 else "_".join(join_keys).lower()
        comment = "" if reason == previous else reason  # write a shared reason only once
        lines.append(Line(key=unique, value=write_keys(join_keys), comment=comment))
        previous = reason
    return tuple(lines)


def _named_entities(
    table: Table, keys: KeyGuess, known: Mapping[tuple[str, ...], str]
) -> list[tuple[str, tuple[str, ...], str]]:
    """Return each entity's name, join keys and reason, in the order of the keys."""
    found: list[tuple[str, tuple[str, ...], str]] = []
    order = [column.name for column in keys.columns]
    rest = list(order)
    for join_keys, name in sorted(known.items(), key=lambda each: -len(each[0])):
        # `id` in another view is the own key of another model, so its entity is not this one
        if set(join_keys) <= set(rest) and not any(map(words.is_generic, join_keys)):
            found.append((name, join_keys, f"{keys.reason}; named as in other feature views"))
            rest = [each for each in rest if each not in join_keys]
    for column in rest:
        if column in table.related:
            model = table.related[column]
            found.append((words.entity_of_model(model), (column,), f"{keys.reason}; it is one of {model}"))
        else:
            is_own = words.is_own_key(column, table.name)
            name = words.entity_of_model(table.name) if is_own else words.entity_of_column(column)
            found.append((name, (column,), keys.reason))
    return sorted(found, key=lambda each: order.index(each[1][0]))
