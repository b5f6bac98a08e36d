"""Decodes messages of Protocol Buffers: by descriptors of a schema registry, or of a file that protoc wrote."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError

from feature_sync.errors import RequestError, did_you_mean
from feature_sync.stream.messages import Unfit
from feature_sync.stream.registry import RegisteredSchema, SchemaRegistry, split_header

_TIMESTAMP = "google.protobuf.Timestamp"
_WRAPPERS = tuple(
    f"google.protobuf.{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
_UNREADABLE = (DecodeError, TypeError, ValueError, KeyError)


class DescribedMessages:
    """Decodes bare messages by a descriptor file of the project."""

    def __init__(self, file: Path, message: str | None) -> None:
        """Read the file.

        Args:
            file: What `protoc --descriptor_set_out --include_imports` wrote.
            message: The full name of the message; None for the first of the last file in it.

        Raises:
            RequestError: The file cannot be read, or has no such message.
        """
        try:
            files = descriptor_pb2.FileDescriptorSet.FromString(file.read_bytes()).file
        except OSError as missing:
            raise RequestError(f"{file}: {missing.strerror}: see stream.descriptor") from missing
        except DecodeError as wrong:
            raise RequestError(
                f"{file} is not what protoc --descriptor_set_out writes: see stream.descriptor"
            ) from wrong
        pool = descriptor_pool.DescriptorPool()
        try:
            for each in files:
                pool.Add(each)
            names = [_full_name(each, kind.name) for each in files for kind in each.message_type]
            chosen = message or (_full_name(files[-1], files[-1].message_type[0].name) if names else "")
            self._kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(chosen))
        except (KeyError, TypeError, IndexError) as unknown:
            hint = did_you_mean(message or "", names)
            raise RequestError(f"{file} has no message {message!r}{hint}: see stream.message") from unknown

    def __call__(self, contents: Sequence[bytes]) -> list[Any]:
        """Decode contents."""
        return [_decoded(self._kind, each) for each in contents]


class RegisteredMessages:
    """Decodes messages behind the header of a schema registry."""

    def __init__(self, registry: SchemaRegistry) -> None:
        self._registry = registry
        self._kinds: dict[tuple[int, tuple[int, ...]], Any] = {}
        self._files: dict[int, tuple[Any, descriptor_pool.DescriptorPool]] = {}

    def __call__(self, contents: Sequence[bytes]) -> list[Any]:
        """Decode contents."""
        return [self._one(*split_header(each)) for each in contents]

    def _one(self, number: int, content: bytes) -> Any:
        indexes, at = _message_indexes(content)
        kind = self._kinds.get((number, indexes))
        if kind is None:
            kind = self._kinds[number, indexes] = self._kind(number, indexes)
        return _decoded(kind, content[at:])

    def _kind(self, number: int, indexes: tuple[int, ...]) -> Any:
        if number not in self._files:
            self._files[number] = self._read_file(number)
        file, pool = self._files[number]
        try:
            nested, names = file.message_type, []
            for index in indexes:
                names.append(nested[index].name)
                nested = nested[index].nested_type
            return message_factory.GetMessageClass(pool.FindMessageTypeByName(_full_name(file, ".".join(names))))
        except (IndexError, KeyError, TypeError) as wrong:
            raise Unfit(f"its schema {number} has no message at {list(indexes)}") from wrong

    def _read_file(self, number: int) -> tuple[Any, descriptor_pool.DescriptorPool]:
        found = self._registry.schema(number, serialized=True)
        if found.schema_type != "PROTOBUF":
            raise Unfit(f"its schema {number} is of {found.schema_type}, not of Protobuf: see stream.format")
        pool = descriptor_pool.DescriptorPool()
        return self._add(found, f"schema{number}.proto", pool), pool

    def _add(self, schema: RegisteredSchema, name: str, pool: descriptor_pool.DescriptorPool) -> Any:
        """Add a file to a pool, after those that it imports; Google's own come with the library."""
        for reference in schema.references:
            self._add(self._registry.referred(reference, serialized=True), reference.name, pool)
        try:
            file = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(schema.schema, validate=True))
            file.name = name
            for imported in file.dependency:
                if imported.startswith("google/"):
                    _add_own(imported, pool)
            pool.Add(file)
        except (*_UNREADABLE, binascii.Error) as wrong:
            raise Unfit(f"the registry's schema as {name} cannot be read ({wrong})") from wrong
        return file


def _add_own(imported: str, pool: descriptor_pool.DescriptorPool) -> None:
    """Copy one of Google's files from the library's own pool, after those that it imports."""
    from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2

    own = {each.DESCRIPTOR.name: each.DESCRIPTOR for each in (duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)}
    if imported in own:
        pool.AddSerializedFile(own[imported].serialized_pb)


def _full_name(file: Any, name: str) -> str:
    return f"{file.package}.{name}" if file.package else name


def _message_indexes(content: bytes) -> tuple[tuple[int, ...], int]:
    """Read which message of its file a message is; returns that and where the message begins."""
    count, at = _varint(content, 0)
    if count < 0 or count > len(content):
        raise Unfit("what follows the schema's id does not say which message it is")
    indexes: list[int] = []
    for _ in range(count):
        index, at = _varint(content, at)
        indexes.append(index)
    return tuple(indexes) or (0,), at


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Read a number of variable length, whose lowest bit is the sign."""
    number = shift = 0
    while True:
        if at >= len(content) or shift > 63:  # noqa: PLR2004 - the bits of the largest
            raise Unfit("it ends within the numbers that say which message it is")
        byte = content[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return (number >> 1) ^ -(number & 1), at


def _decoded(kind: Any, content: bytes) -> dict[str, Any]:
    message = kind()
    try:
        message.ParseFromString(content)
    except DecodeError as wrong:
        raise Unfit(f"it is not a {kind.DESCRIPTOR.full_name} ({wrong})") from wrong
    fields: dict[str, Any] = _plain(message, kind.DESCRIPTOR)
    return fields


def _plain(message: Any, descriptor: Descriptor) -> Any:
    """Return a message as fields by name; one that is absent and could say so is None."""
    if descriptor.full_name == _TIMESTAMP:
        try:
            return message.ToDatetime(tzinfo=UTC)
        except ValueError as beyond:
            raise Unfit(f"a Timestamp is beyond the years 1 to 9999 ({beyond})") from beyond
    if descriptor.full_name in _WRAPPERS:
        return message.value
    return {field.name: _field(message, field) for field in descriptor.fields}


def _field(message: Any, field: FieldDescriptor) -> Any:
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return {str(key): _item(each, field.message_type.fields_by_name["value"]) for key, each in value.items()}
    if field.is_repeated:
        return [_item(each, field) for each in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _item(value, field)


def _item(value: Any, field: FieldDescriptor) -> Any:
    if field.message_type is not None:
        return _plain(value, field.message_type)
    if field.enum_type is not None:
        named = field.enum_type.values_by_number.get(value)
        return value if named is None else named.name
    return value
