"""Proposes the settings that make one model a feature view: guesses keys, then times, then applies the rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from feature_sync.adopting.counter import Counter
from feature_sync.adopting.guesses import Guesses
from feature_sync.adopting.keys import KeyClues, guess_keys, name_entities
from feature_sync.adopting.rules import HINTS, RULES, event_time
from feature_sync.adopting.times import candidate_times, choose_time, times_beside
from feature_sync.dbt.schema_file import SourcePosition
from feature_sync.yaml_lines import Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Values from the user that replace guesses: entities with their columns, and the event time."""

    entities: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    event_time: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The settings that `init` proposes for one model, with hints.

    `file` is a path below the project's folder. `settings` are the lines below `feature_view`. `event_time` is None if
    there is none, or if the project has it already. `has_meta_beside`: the entry has an older `meta` beside its
    `config`; `feature_view` then goes there, since dbt refuses two `meta`.
    """

    name: str
    position: SourcePosition
    file: str
    event_time: Line | None
    settings: tuple[Line, ...]
    hints: tuple[str, ...] = ()
    has_meta_beside: bool = False

    def lines(self) -> tuple[Line, ...]:
        """Return the lines to insert into the model's entry."""
        meta = Line(key="meta", below=(Line(key="feature_view", below=self.settings),))
        config = (self.event_time,) if self.event_time is not None else ()
        if not self.has_meta_beside:
            return (Line(key="config", below=(*config, meta)),)
        return (*([Line(key="config", below=config)] if config else []), meta)


def propose(
    counter: Counter, position: SourcePosition, file: str, *, asked: Asked, known: Mapping[tuple[str, ...], str]
) -> Proposal:
    """Guess the settings of a model.

    Args:
        counter: Counts the rows of the model; its `table` is the evidence.
        position: The model's entry in its YAML file.
        file: That file, as a path below the project's folder.
        asked: Values that replace guesses.
        known: The entities of the project's feature views, by their join keys.

    Raises:
        RequestError: No key, no event time or no feature can be guessed.
    """
    guesses = _find(counter, asked, known)
    return Proposal(
        name=counter.table.name if position.version is None else f"{counter.table.name}.v{position.version}",
        position=position,
        file=file,
        event_time=event_time(guesses),
        settings=tuple(line for rule in RULES for line in rule(guesses)),
        hints=tuple(hint for rule in HINTS for hint in rule(guesses)),
    )


def _find(counter: Counter, asked: Asked, known: Mapping[tuple[str, ...], str]) -> Guesses:
    table = counter.table
    if table.keeps_validity:
        counter = replace(counter, runner=None)  # in such rows keys repeat by design, so counts prove nothing
    candidates = candidate_times(table, asked.event_time)
    time = candidates[0].column if candidates else table.validity and table.validity[0]
    clues = KeyClues(table=table, time=time, asked=asked.entities, counter=counter)
    keys = guess_keys(clues)
    times = times_beside(keys, candidates)
    guesses = Guesses(
        table=table,
        keys=keys,
        entities=name_entities(clues, keys, known),
        times=times,
        counts=counter.rows_of(keys.columns, [each.column for each in times]),
    )
    return replace(guesses, event_time=choose_time(guesses, is_asked=bool(asked.event_time)))
