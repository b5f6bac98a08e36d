"""The JSON documents of the server: requests, answers and errors, as Feast's feature server has them.

Feast's server takes `entities` as columns and answers with a column for each of `metadata.feature_names`, the keys
first, whose `values`, `statuses` and `event_timestamps` are by entity. In feast-dev/feast see
`sdk/python/feast/feature_server.py`, its test `test_python_feature_server.py`, and `infra/online_stores/remote.py`,
which reads such answers. The words of `statuses` are those of `FieldStatus` in `ServingService.proto`; a key is always
PRESENT, and a time that is unknown is 1970-01-01T00:00:00Z.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Name = Annotated[str, msgspec.Meta(max_length=500)]
"""Longer ones would cost much to compare with the names that there are."""
KeyValue = bool | int | float | str | None
OnError = Literal["raise", "null"]
FeastStatus = Literal["INVALID", "PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"]
Moment = Annotated[str, msgspec.Meta(description="ISO 8601 in UTC.", extra_json_schema={"format": "date-time"})]


class FeaturesRequest(msgspec.Struct, kw_only=True):
    """The entities whose feature vectors are asked for; other fields are ignored, as Feast ignores them."""

    feature_service: Annotated[Name, msgspec.Meta(description="The name of the feature service.")]
    entities: Annotated[
        dict[Name, list[KeyValue]],
        msgspec.Meta(description="For each key of the service, its values by entity; 10,000 entities at most."),
    ]
    full_feature_names: Annotated[bool, msgspec.Meta(description="Name features view__feature.")] = False
    on_error: Annotated[
        OnError | None,
        msgspec.Meta(description='"null" answers null, with the status INVALID, for what cannot be read.'),
    ] = None


class Metadata(msgspec.Struct):
    """What the columns of `results` are."""

    feature_names: Annotated[list[str], msgspec.Meta(description="The keys, and then the features, in order.")]


class Column(msgspec.Struct):
    """One key or feature, by entity."""

    values: list[Any]
    statuses: list[FeastStatus]
    event_timestamps: list[Moment]


class FeaturesAnswer(msgspec.Struct):
    """The feature vectors, a column for each of `metadata.feature_names`.

    A value that JSON lacks has a form of its own: decimals and integers wider than 64 bits are text, bytes are base64,
    dates and times are ISO 8601, and NaN and infinities are null with the status PRESENT.
    """

    metadata: Metadata
    results: list[Column]


class Typed(msgspec.Struct):
    """A key and its type."""

    name: str
    type: str


class ServedFeature(msgspec.Struct):
    """A feature, its type and its view."""

    name: str
    type: str
    view: str
    ttl_seconds: Annotated[float | None, msgspec.Meta(description="The TTL of the view; null for any age.")]


class ServedService(msgspec.Struct):
    """A feature service, and the ids of its shape and its logic."""

    name: str
    keys: list[Typed]
    features: list[ServedFeature]
    shape: str
    logic: Annotated[str, msgspec.Meta(description="Empty if it is unknown.")]


class Services(msgspec.Struct):
    """The feature services that this server serves."""

    services: list[ServedService]


class State(msgspec.Struct):
    """Whether the server is alive, or ready."""

    status: Literal["alive", "ready"]


class Problem(msgspec.Struct):
    """Why a request failed."""

    detail: str
