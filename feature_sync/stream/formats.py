"""Chooses what decodes the values and the keys of a stream's messages."""

from __future__ import annotations

from pathlib import Path

from feature_sync.definitions import FeatureView, MessageFormat, Stream
from feature_sync.errors import RequestError
from feature_sync.extras import needed_by
from feature_sync.online.codec import RowSchema
from feature_sync.stream.json_messages import JsonMessages, decode_texts
from feature_sync.stream.registry import VARIABLE, SchemaRegistry
from feature_sync.stream.rows import Decode, RowReader


def row_reader(
    view: FeatureView, stream: Stream, schema: RowSchema, *, registry: SchemaRegistry | None, folder: Path
) -> RowReader:
    """Return what reads a stream's messages as rows.

    Args:
        view: The view.
        stream: Its stream.
        schema: The row schema that the newest push has stored.
        registry: The schema registry; None if none is named.
        folder: The project's folder, from which the descriptor file is found.

    Raises:
        RequestError: A column cannot stream, a registry is needed and not named, or the descriptor file is wrong.
        MissingLibrary: The format needs a library that is not installed.
    """
    if stream.needs_registry and registry is None:
        raise RequestError(
            f"{view.relation.location.at('config.meta.feature_view.stream')}: its messages need a schema registry: "
            f"name it in {VARIABLE}, or as schema_registry under stream in the profile's block feature_sync"
        )
    exact = any(kind.holds("decimal") for _, kind in (*schema.keys, *schema.features))

    def decoder(form: MessageFormat) -> Decode:
        return decoder_of(form, stream, registry=registry, folder=folder, exact=exact)

    keys = None if stream.key_format is None else decoder(stream.key_format)
    return RowReader(view, stream, schema, values=decoder(stream.format), keys=keys)


def decoder_of(
    form: MessageFormat, stream: Stream, *, registry: SchemaRegistry | None, folder: Path, exact: bool
) -> Decode:
    """Return what decodes the values, or the keys, of a stream's messages.

    Args:
        form: How they are written.
        stream: The stream.
        registry: The schema registry; None if none is named.
        folder: The project's folder, from which the descriptor file is found.
        exact: Read numbers of JSON with a point as decimals.
    """
    if form is MessageFormat.JSON:
        return JsonMessages(exact=exact)
    if form is MessageFormat.STRING:
        return decode_texts
    if form is MessageFormat.AVRO and registry is not None:
        from feature_sync.stream.avro_messages import AvroMessages

        return AvroMessages(registry)
    return _protobuf(stream, registry, folder)


def _protobuf(stream: Stream, registry: SchemaRegistry | None, folder: Path) -> Decode:
    with needed_by("a stream of Protocol Buffers"):
        from feature_sync.stream import protobuf_messages
    if stream.descriptor is not None:
        return protobuf_messages.DescribedMessages(folder / stream.descriptor, stream.message)
    if registry is None:
        raise RequestError("a stream of Protocol Buffers needs a descriptor file or a schema registry")
    return protobuf_messages.RegisteredMessages(registry)
