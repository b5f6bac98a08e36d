"""The description of the server in OpenAPI 3.1, from the structs of its requests and answers."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, get_args

import msgspec

from feature_sync.serving.server.documents import (
    FeaturesAnswer,
    FeaturesRequest,
    OnError,
    Problem,
    ServedService,
    Services,
    State,
)

_DOCUMENTS = (FeaturesRequest, FeaturesAnswer, ServedService, Services, State, Problem)
_PROBLEMS = {
    400: "The body is not JSON.",
    401: "The bearer token is missing or wrong.",
    404: "No such service is served.",
    413: "The request has more than 10,000,000 bytes or 10,000 entities.",
    422: "The request does not fit the service, or its shape is wrong.",
    503: "Redis does not answer in time, or holds what cannot be read.",
}
_REFERENCES = "#/components/schemas/{name}"


def openapi(*, has_token: bool) -> dict[str, Any]:
    """Describe the server.

    Args:
        has_token: Whether requests need the bearer token.
    """
    _, schemas = msgspec.json.schema_components(_DOCUMENTS, ref_template=_REFERENCES)
    components: dict[str, Any] = {"schemas": schemas}
    if has_token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "feature-sync",
            "version": version("feature-sync"),
            "description": "Feature vectors from Redis.",
        },
        "paths": {path: {method: operation} for path, method, operation in _operations(has_token=has_token)},
        "components": components,
    }


def _operations(*, has_token: bool) -> list[tuple[str, str, dict[str, Any]]]:
    def operation(summary: str, answer: type | str, *problems: int, **parts: Any) -> dict[str, Any]:
        is_open = answer is State
        if has_token and not is_open:
            problems = (*problems, 401)
            parts["security"] = [{"token": []}]
        content = _json(answer) if isinstance(answer, type) else {answer: {"schema": {}}}
        responses = {"200": {"description": "OK", "content": content}}
        for status in sorted(problems):
            responses[str(status)] = {"description": _PROBLEMS[status], "content": _json(Problem)}
        return {"summary": summary, "responses": responses, **parts}

    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    on_error = {"name": "on_error", "in": "query", "schema": {"enum": list(get_args(OnError))}}
    features = operation(
        "Read feature vectors, in the shape of Feast's feature server.",
        FeaturesAnswer, 400, 404, 413, 422, 503,
        parameters=[on_error], requestBody={"required": True, "content": _json(FeaturesRequest)},
    )  # fmt: skip
    service = operation("Describe a service.", ServedService, 404, 503, parameters=[name])
    return [
        ("/get-online-features", "post", features),
        ("/services", "get", operation("List the services.", Services, 503)),
        ("/services/{name}", "get", service),
        ("/health", "get", operation("Report that the server is alive.", State)),
        ("/ready", "get", operation("Report whether Redis answers and has the services.", State, 503)),
        ("/metrics", "get", operation("Export metrics for Prometheus.", "text/plain")),
        ("/openapi.json", "get", operation("Return this document.", "application/json")),
    ]


def _json(document: type[msgspec.Struct] | type) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REFERENCES.format(name=document.__name__)}}}
