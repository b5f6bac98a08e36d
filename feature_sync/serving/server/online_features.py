"""`POST /get-online-features`: reads the request, asks the service's client, and writes the answer."""

from __future__ import annotations

from typing import get_args
from urllib.parse import parse_qs

import msgspec

from feature_sync.errors import RequestError
from feature_sync.serving.entities import Entities
from feature_sync.serving.server.documents import FeaturesRequest, OnError
from feature_sync.serving.server.exchange import Receive, Refused, Scope, Send, read_body, respond
from feature_sync.serving.server.metrics import Metrics
from feature_sync.serving.server.services import ServedServices

MOST_ENTITIES = 10_000
_HINT = "; lists of `features` are not served: name a feature service, which GET /services lists"
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
_decode = msgspec.json.Decoder(FeaturesRequest).decode


class OnlineFeatures:
    """Answers requests for feature vectors."""

    def __init__(self, services: ServedServices, metrics: Metrics) -> None:
        """Prepare to answer.

        Args:
            services: The services.
            metrics: Counts values.
        """
        self._services = services
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = _read(await read_body(receive))
        on_error = request.on_error or (_on_error(scope["query_string"]) if scope["query_string"] else "raise")
        answer, counts = await self._services.answer(request, _entities(request), on_error=on_error)
        self._metrics.count_values(request.feature_service, counts)
        await respond(send, 200, answer)


def _read(body: bytes) -> FeaturesRequest:
    """Decode a request.

    Raises:
        Refused: It is no JSON, or of another shape.
    """
    try:
        return _decode(body)
    except msgspec.ValidationError as wrong:
        raise Refused(422, f"{wrong}{_HINT if 'feature_service' in str(wrong) else ''}") from wrong
    except _UNREADABLE as wrong:
        raise Refused(400, f"the body is not JSON: {wrong}") from wrong


def _entities(request: FeaturesRequest) -> Entities:
    """Return the entities as columns.

    Raises:
        RequestError: The columns differ in length.
        Refused: There are too many.
    """
    columns = request.entities
    lengths = {*map(len, columns.values())}
    if len(lengths) > 1:
        described = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
        raise RequestError(f"every key needs as many values as the others: {described:.200}")
    count = lengths.pop() if lengths else 0
    if count > MOST_ENTITIES:
        raise Refused(413, f"a request has {MOST_ENTITIES:,} entities at most, and not {count:,}")
    return Entities(columns, count)


def _on_error(query: bytes) -> str:
    given = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("on_error", ["raise"])
    if given[-1] not in get_args(OnError):
        raise RequestError(f'on_error is "raise" or "null", and not {given[-1]!r:.50}')
    return given[-1]
