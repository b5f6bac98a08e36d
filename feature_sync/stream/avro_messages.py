"""Decodes messages of Avro by the schemas with which they were written; fields are then found by their names."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import msgspec

from feature_sync.extras import needed_by
from feature_sync.stream.messages import Unfit
from feature_sync.stream.registry import RegisteredSchema, SchemaRegistry, split_header


class AvroMessages:
    """Decodes messages behind the header of a schema registry, whose schemas are kept once they were read."""

    def __init__(self, registry: SchemaRegistry) -> None:
        """Import the library; asks the registry nothing yet.

        Raises:
            MissingLibrary: fastavro is not installed.
        """
        with needed_by("a stream of Avro"):
            import fastavro
        self._library = fastavro
        self._registry = registry
        self._schemas: dict[int, Any] = {}

    def __call__(self, contents: Sequence[bytes]) -> list[Any]:
        """Decode contents."""
        return [self._one(*split_header(each)) for each in contents]

    def _one(self, number: int, content: bytes) -> Any:
        schema = self._schemas.get(number) or self._read_schema(number)
        stream = BytesIO(content)
        try:
            value = self._library.schemaless_reader(stream, schema)
        except (EOFError, ArithmeticError, IndexError, LookupError, TypeError, ValueError, RecursionError) as wrong:
            raise Unfit(f"it is not what the schema {number} says ({type(wrong).__name__}: {wrong})") from wrong
        if stream.tell() != len(content):
            raise Unfit(f"it goes on after what the schema {number} says")
        return value

    def _read_schema(self, number: int) -> Any:
        found = self._registry.schema(number)
        if found.schema_type != "AVRO":
            raise Unfit(f"its schema {number} is of {found.schema_type}, not of Avro: see stream.format")
        named: dict[str, Any] = {}
        self._add_referred(found, named)
        self._schemas[number] = self._parsed(found, named, f"the schema {number}")
        return self._schemas[number]

    def _add_referred(self, schema: RegisteredSchema, named: dict[str, Any]) -> None:
        """Parse the schemas that a schema refers to, before itself."""
        for reference in schema.references:
            other = self._registry.referred(reference)
            self._add_referred(other, named)
            self._parsed(other, named, reference.subject)

    def _parsed(self, schema: RegisteredSchema, named: dict[str, Any], what: str) -> Any:
        try:
            return self._library.parse_schema(msgspec.json.decode(schema.schema), named_schemas=named)
        except (
            msgspec.DecodeError,
            LookupError,
            TypeError,
            ValueError,
            self._library.schema.SchemaParseException,
        ) as bad:
            raise Unfit(f"{what} of the registry cannot be read ({bad})") from bad
