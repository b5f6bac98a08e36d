"""Where the messages of a stream are landed: the table that `--land` names, in the warehouse of the target."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_sync.definitions import MessageFormat, Stream, Target

if TYPE_CHECKING:
    from feature_sync.stream.landing import Landing
    from feature_sync.stream.registry import SchemaRegistry


def landing_in(
    relation: str, target: Target, stream: Stream, *, registry: SchemaRegistry | None, folder: Path
) -> Landing:
    """Connect to where the messages of a stream are landed; the tables are created if they do not exist.

    Args:
        relation: The table, `schema.table` or `database.schema.table`.
        target: The target whose warehouse it is in.
        stream: The stream. Messages of JSON are landed as they are, others as what they say in JSON.
        registry: The schema registry; None if none is named.
        folder: The project's folder, from which a descriptor file is found.

    Raises:
        RequestError: It is no table to land in, or the warehouse is not one to land in.
        WarehouseError: The warehouse cannot be reached, or refuses.
    """
    from feature_sync.stream.landing import Landing
    from feature_sync.warehouses.landing import landing_table, open_landing

    connect = partial(open_landing, target, landing_table(relation), stream.topic)
    return Landing(connect, decode=_decoder(stream, registry, folder))


def _decoder(stream: Stream, registry: SchemaRegistry | None, folder: Path) -> Callable[[Any], list[Any]] | None:
    if stream.format is MessageFormat.JSON:
        return None
    from feature_sync.stream.formats import decoder_of

    return decoder_of(stream, registry=registry, folder=folder)
