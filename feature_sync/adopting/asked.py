"""What a person says of a model in place of guesses, checked against its columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from feature_sync.adopting.keys import EntityGuess, KeyGuess
from feature_sync.adopting.table import Table
from feature_sync.adopting.times import TimeGuess
from feature_sync.definitions import Entity
from feature_sync.errors import RequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person says in place of a guess: entities with their columns, and the event time."""

    entities: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    event_time: str | None = None


def asked_time(table: Table, name: str) -> TimeGuess:
    """Take a column for the event time.

    Raises:
        RequestError: It is no time, or the project says another already.
    """
    if table.keeps_validity:
        raise RequestError(
            f"{table.relation.location}: its rows hold from one moment until another, as a snapshot's do; leave out "
            "--event-time"
        )
    column = table.column(name)
    configured = table.configured_time
    if configured is not None and configured != column:
        raise RequestError(
            f"{table.relation.location}: config.event_time is {configured.name!r} already; change it there, or leave "
            "out --event-time"
        )
    if column.data_type is not None and not column.is_time:
        raise RequestError(
            f"{table.relation.location}: {column.name} is {column.data_type}, which is no time; cast it in the model"
        )
    return TimeGuess(column=column, reason="as asked", is_certain=True)


def asked_keys(table: Table, asked: Asked) -> KeyGuess:
    """Take columns for the join keys.

    Raises:
        RequestError: The model lacks one, or its type cannot be a key's.
    """
    columns = tuple(table.column(name) for names in asked.entities.values() for name in names)
    for column in columns:
        if not column.may_be_key:
            raise RequestError(
                f"{table.relation.location}: {column.name} is {column.data_type}, which cannot be a join key; "
                "cast it in the model"
            )
    return KeyGuess(columns=columns, reason="as asked")


def asked_entities(keys: KeyGuess, asked: Asked) -> tuple[EntityGuess, ...]:
    """Give the columns to the entities, as they were named."""
    columns = iter(keys.columns)
    return tuple(
        EntityGuess(entity=Entity(name=name, join_keys=tuple(next(columns).name for _ in names)), reason="as asked")
        for name, names in asked.entities.items()
    )
