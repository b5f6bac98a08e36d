"""Where the messages of a stream are landed: the table that `--land` names, in the warehouse of the target."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from feature_sync.definitions import MessageFormat, Stream, Target

if TYPE_CHECKING:
    from feature_sync.online.streams import StreamWriter
    from feature_sync.stream.landing import Landing
    from feature_sync.stream.registry import SchemaRegistry
    from feature_sync.stream.source import Source


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
    from feature_sync.stream.formats import decoder_of
    from feature_sync.stream.landing import Landing
    from feature_sync.warehouses.landing import landing_table, open_landing

    connect = partial(open_landing, target, landing_table(relation), stream.topic)
    decode = None
    if stream.format is not MessageFormat.JSON:
        decode = decoder_of(stream.format, stream, registry=registry, folder=folder, exact=True)
    return Landing(connect, decode=decode)


def land_first(
    opened: Callable[[], Source], landing: Landing, writer: StreamWriter, *, view: str, until_end: bool
) -> int:
    """Land messages until a view was pushed for the first time, and its stream can begin; returns how many.

    Args:
        opened: Opens where messages come from.
        landing: Where they go.
        writer: Knows whether the view was pushed.
        view: The reference of the view.
        until_end: Also end when all messages that there were are landed.
    """
    from feature_sync.stream.landing_only import land_until_pushed

    with closing(opened()) as source:
        return land_until_pushed(source, landing, lambda: writer.state() is not None, view=view, until_end=until_end)
