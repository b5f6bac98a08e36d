"""Streams of feature views: topics whose messages, field by field, are rows that run ahead of the warehouse."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

KEY, TIMESTAMP = "$key", "$timestamp"
"""Paths that begin in the key of a message, and the message's own timestamp."""
UNITS = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}
"""What numbers may count that stand for moments: each in microseconds."""


class MessageFormat(StrEnum):
    """How the values, or the keys, of a topic's messages are written."""

    JSON = "json"
    AVRO = "avro"
    """Avro behind the header of a schema registry."""
    PROTOBUF = "protobuf"
    """Protocol Buffers: behind the header of a schema registry, or bare with a descriptor file."""
    STRING = "string"
    """UTF-8 text, for keys alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The topic whose messages are the newest rows of a feature view.

    Args:
        topic: The topic of Kafka, or the key of the stream in Redis.
        format: How the values of messages are written.
        key_format: How their keys are written; None if no column is read from them.
        columns: Columns of the view with the paths of the fields that hold them, such as `payload.amount`, `$key`,
            `$key.shop` or `$timestamp`; a column that is not named is the field of its own name.
        timestamps: What numbers count that stand for moments, a name of `UNITS`; None if moments are texts, or say it
            themselves as those of Avro and Protobuf do.
        message: The full name of the Protobuf message; None for the first of its file.
        descriptor: The file of the descriptors of Protobuf, from the project's folder; None with a schema registry.
        dead_letter_topic: The topic for messages that cannot be rows.
        dead_letter_file: The file for such messages, from the project's folder.
    """

    topic: str
    format: MessageFormat = MessageFormat.JSON
    key_format: MessageFormat | None = None
    columns: tuple[tuple[str, str], ...] = ()
    timestamps: str | None = None
    message: str | None = None
    descriptor: str | None = None
    dead_letter_topic: str | None = None
    dead_letter_file: str | None = None

    def path_of(self, column: str) -> tuple[str, ...]:
        """Return the steps to the field that holds a column; names compare as warehouses do, without case.

        >>> Stream(topic="orders", columns=(("amount", "payload.amount"),)).path_of("amount")
        ('payload', 'amount')
        """
        folded = column.casefold()
        return next((tuple(path.split(".")) for name, path in self.columns if name.casefold() == folded), (column,))

    @property
    def needs_registry(self) -> bool:
        """True if messages are read by schemas of a registry."""
        formats = (self.format, self.key_format)
        return MessageFormat.AVRO in formats or (MessageFormat.PROTOBUF in formats and self.descriptor is None)
