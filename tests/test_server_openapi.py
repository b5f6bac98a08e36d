"""The server's OpenAPI document says what the server does: schemathesis tries to prove otherwise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tests.support.http_server import HttpServer
from tests.support.shop import Shop, fill

TOKEN = "of the house"
CONFIGURATION = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "404", "422"]
"""
"""A schema cannot say that all columns have one length, nor which values are keys of a service: 422."""


@pytest.fixture
def server(redis_url, tmp_path):
    shop = fill(Shop(redis_url), rows=5)
    with HttpServer(tmp_path, redis_url, FEATURE_SYNC_TOKEN=TOKEN) as server:
        server.client.headers["Authorization"] = f"Bearer {TOKEN}"
        yield server
    shop.close()


def test_answers_fit_the_schemas_of_the_document(server):
    document = server.client.get("/openapi.json").json()
    assert {*document["paths"]} == {
        "/get-online-features", "/services", "/services/{name}", "/health", "/ready", "/metrics", "/openapi.json",
    }  # fmt: skip
    bodies = {
        "FeaturesAnswer": server.ask("fraud", order_id=[1, 9], customer=["c1", None]),
        "Services": server.client.get("/services"),
        "ServedService": server.client.get("/services/fraud"),
        "State": server.client.get("/ready"),
        "Problem": server.client.get("/services/none"),
    }
    assert {*bodies, "FeaturesRequest"} <= {*document["components"]["schemas"]}
    for name, response in bodies.items():
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(response.json())


@pytest.mark.slow
def test_schemathesis_finds_nothing(server, tmp_path):
    document = server.client.get("/openapi.json").json()
    request = document["components"]["schemas"]["FeaturesRequest"]["properties"]
    request["feature_service"]["enum"] = ["tiers", "fraud", "none"]  # else hardly a request gets past its name
    request["entities"]["properties"] = {
        "customer": {"type": "array", "items": {"type": ["string", "null"]}, "maxItems": 20}
    }
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    command = [Path(sys.executable).parent / "schemathesis", "run", "openapi.json", "--url", server.url, "--no-color"]
    command += ["--header", f"Authorization: Bearer {TOKEN}", "--checks", "all", "--phases", "coverage,fuzzing"]
    command += ["--max-examples", os.environ.get("PROOF_TIMES", "150"), "--generation-database", "none"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    statuses = server.client.get("/metrics").text
    assert 'feature_sync_requests_total{route="/get-online-features",status="200"}' in statuses
    assert 'status="500"' not in statuses
