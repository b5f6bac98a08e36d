"""The pin of a model: the schema and the logic that it was trained on, as JSON to be kept beside the model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from feature_sync.errors import RequestError
from feature_sync.service_schema.schema import SchemaFeature, ServiceSchema
from feature_sync.value_types import parse

_LISTED = 8
_MICROSECONDS = 1_000_000


class PinnedFeature(msgspec.Struct, frozen=True):
    """A feature as a model was trained on it; its default is in wire form."""

    name: str
    type: str
    default: Any = None
    ttl_seconds: float | None = None


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """What a model was trained on.

    Args:
        service: The name of the feature service.
        shape: The shape id: what the model is given.
        logic: The logic id: how dbt computes it; empty if it is unknown.
        key_types: Names and types of the keys, in order.
        features: The features in order.
    """

    service: str
    shape: str
    logic: str
    key_types: tuple[tuple[str, str], ...]
    features: tuple[PinnedFeature, ...]

    def __repr__(self) -> str:
        return f"Pin({self.service!r}, shape={self.shape!r}, logic={self.logic!r}, {len(self.features)} features)"

    def to_json(self) -> str:
        """Write the pin as JSON; equal pins give equal bytes."""
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=2).decode() + "\n"

    def differences(self, other: Pin) -> list[str]:
        """Tell how the shape of another pin differs from this one, feature by feature; empty if it does not."""
        return [] if self.shape == other.shape else [*_differences(self, other)]


PinSource: TypeAlias = Pin | Mapping[str, Any] | str | bytes | os.PathLike[str]
"""A pin, its JSON as text, bytes or a mapping, or the path of its file or of a training set's sidecar."""


def pin_of(service: str, schema: ServiceSchema, logic: str) -> Pin:
    """Return the pin of a service.

    Args:
        service: The name of the service.
        schema: Its schema.
        logic: Its logic id.
    """
    return Pin(
        service=service,
        shape=schema.shape,
        logic=logic,
        key_types=tuple((name, str(kind)) for name, kind in schema.keys),
        features=tuple(
            PinnedFeature(each.name, str(each.kind), each.default, _seconds(each.ttl)) for each in schema.features
        ),
    )


def read_pin(source: PinSource) -> Pin:
    """Read a pin: a file by its path, its JSON as text or bytes, or the JSON as a mapping.

    A sidecar of a training set is read as well, by its key `pin`.

    Raises:
        RequestError: It cannot be read, is not a pin, or was changed by hand, so that its shape id does not fit.
    """
    if isinstance(source, Pin):
        return source
    try:
        content = _content(source)
        if isinstance(content, Mapping) and "pin" in content:
            content = content["pin"]
        pin = msgspec.convert(content, Pin)
        shape = _schema_of(pin).shape
    except OSError as unreadable:
        raise RequestError(f"the pin {source!r} cannot be read: {unreadable.strerror or unreadable}") from unreadable
    except (msgspec.MsgspecError, RecursionError, ValueError) as wrong:
        raise RequestError(
            f"that is not a pin, as `feature-sync describe SERVICE --pin` writes one ({wrong})"
        ) from wrong
    if shape != pin.shape:
        raise RequestError("the pin was changed: its shape id does not fit its keys and features; make it again")
    return pin


def _content(source: Any) -> Any:
    if isinstance(source, Mapping):
        return source
    if isinstance(source, bytes) or (isinstance(source, str) and source.lstrip().startswith("{")):
        return msgspec.json.decode(source)
    if not isinstance(source, str | os.PathLike):
        raise RequestError(f"a pin is a file, its JSON or a mapping, and not a {type(source).__name__}")
    from pathlib import Path

    return msgspec.json.decode(Path(source).read_bytes())


def _schema_of(pin: Pin) -> ServiceSchema:
    return ServiceSchema(
        keys=tuple((name, parse(kind)) for name, kind in pin.key_types),
        features=tuple(
            SchemaFeature(each.name, parse(each.type), each.default, _microseconds(each.ttl_seconds))
            for each in pin.features
        ),
    )


def _differences(trained: Pin, served: Pin) -> Iterator[str]:
    if trained.key_types != served.key_types:
        yield f"keys: trained with {_named(trained.key_types)}, now {_named(served.key_types)}"
    now = {each.name: each for each in served.features}
    before = {each.name: each for each in trained.features}
    for name, each in before.items():
        if name not in now:
            yield f"{name}: gone"
            continue
        if each.type != now[name].type:
            yield f"{name}: trained as {each.type}, now {now[name].type}"
        if each.default != now[name].default:
            yield f"{name}: trained with the default {_text(each.default)}, now {_text(now[name].default)}"
        if each.ttl_seconds != now[name].ttl_seconds:
            yield f"{name}: trained with the TTL {_duration(each.ttl_seconds)}, now {_duration(now[name].ttl_seconds)}"
    yield from (f"{name}: new" for name in now if name not in before)
    if set(now) == set(before) and [*now] != [*before]:
        yield f"order: trained as {_listed(before)}, now {_listed(now)}"


def _named(keys: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in keys)


def _listed(names: Mapping[str, Any]) -> str:
    shown = ", ".join([*names][:_LISTED])
    return f"{shown}, ..." if len(names) > _LISTED else shown


def _text(default: Any) -> str:
    return "none" if default is None else repr(default)


def _duration(seconds: float | None) -> str:
    return "none" if seconds is None else f"{seconds:g} s"


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / _MICROSECONDS


def _microseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * _MICROSECONDS)
