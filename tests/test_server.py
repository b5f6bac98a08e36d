"""The HTTP server: a real process, a real Redis, and a client of HTTP."""

from __future__ import annotations

import base64
import math
import os
import re
import signal
import subprocess
import sys
import time
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from feature_sync.online.codec import encode_row
from feature_sync.serving.client import FeatureClient
from tests.support.http_server import HttpServer
from tests.support.redis_server import RedisServer
from tests.support.shop import EVERY_TYPE, NOON, Shop, fill

EPOCH = "1970-01-01T00:00:00Z"
FEAST = {
    "present": "PRESENT", "null": "NULL_VALUE", "missing": "NOT_FOUND", "expired": "OUTSIDE_MAX_AGE",
    "gone": "INVALID", "invalid": "INVALID",
}  # fmt: skip
WITHOUT = ("dbt", "sqlglot", "pyarrow", "duckdb", "psycopg", "google", "pandas", "numpy", "jinja2")


@pytest.fixture
def shop(redis_url):
    filled = fill(Shop(redis_url), rows=3)
    yield filled
    filled.close()


@pytest.fixture(scope="module")
def shared(redis_server, tmp_path_factory):
    """One server for the tests that leave it as it was, and which fill Redis before they ask."""
    with HttpServer(tmp_path_factory.mktemp("no_project"), redis_server) as server:
        yield server


@pytest.fixture
def server(shared, shop):
    return shared


@pytest.fixture
def serve(shop, tmp_path):
    """Start servers of the test's own."""
    started = []

    def start(*arguments, **options):
        started.append(HttpServer(tmp_path, options.pop("url", shop.url), *arguments, **options).start())
        return started[-1]

    yield start
    for each in started:
        each.__exit__()


# Answers


def test_an_answer_has_the_shape_of_feasts_feature_server(server):
    response = server.ask("tiers", customer=["c1", "nobody"])
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "metadata": {"feature_names": ["customer", "tier", "spend"]},
        "results": [
            {"values": ["c1", "nobody"], "statuses": ["PRESENT", "PRESENT"], "event_timestamps": [EPOCH, EPOCH]},
            {
                "values": ["gold", None],
                "statuses": ["PRESENT", "NOT_FOUND"],
                "event_timestamps": ["2024-01-01T12:00:00Z", EPOCH],
            },
            {
                "values": [None, None],
                "statuses": ["NULL_VALUE", "NOT_FOUND"],
                "event_timestamps": ["2024-01-01T12:00:00Z", EPOCH],
            },
        ],
    }


def test_full_feature_names_name_the_view_as_feast_does(server):
    columns = server.columns("tiers", customer=["c1"], options={"full_feature_names": True})
    assert [*columns] == ["customer", "customers__tier", "customers__spend"]


def test_a_value_of_every_type_has_one_form_in_json(server):
    found = {
        name: column["values"][0] for name, column in server.columns("fraud", order_id=[1], customer=["c"]).items()
    }
    assert found == {
        "order_id": 1, "customer": "c", "flag": True, "whole": 7, "wide": "1180591620717411303424", "real": 0.5,
        "exact": "1.50", "words": "é", "raw": "/w==", "day": "2022-01-08", "wall": "2024-01-01T12:00:00",
        "instant": "2024-01-01T12:00:00.000001Z", "span": "1 day", "token": "c2c5e0aa-9e43-4f52-9c5e-0b1e3d8a7f10",
        "document": "{}", "numbers": [1, None],
        "singles": [0.10000000149011612], "reals": [0.5, None], "pair": {"a": "1970-01-02", "b": ["1.5", None]},
        "tier": None, "spend": None,
    }  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 500])
def test_answers_equal_those_of_the_python_client(server, shop, count):
    fill(shop, rows=count - count // 3)
    shop.write("orders", [1], *[None] * len(EVERY_TYPE), at=None)
    entities = {"order_id": [*range(1, count + 1)], "customer": [f"c{each}" for each in range(count, 0, -1)]}
    columns = server.columns("fraud", **entities)
    with FeatureClient(shop.url, "fraud", prefix="shop", timeout=5) as client:
        vectors = client.get_many(
            [dict(zip(entities, each, strict=True)) for each in zip(*entities.values(), strict=True)]
        )
    assert [*columns] == [*entities, *vectors.names]
    for name, values in vectors.to_dict().items():
        assert columns[name]["values"] == [in_json(each) for each in values], name
        assert columns[name]["statuses"] == [FEAST[each] for each in vectors.statuses[name]]
        moments = [EPOCH if each is None else in_json(each) for each in vectors.event_timestamps[name]]
        assert columns[name]["event_timestamps"] == moments
    for name, values in entities.items():
        expected = {"values": values, "statuses": ["PRESENT"] * count, "event_timestamps": [EPOCH] * count}
        assert columns[name] == expected


def in_json(value):
    """What the documentation says of a value in JSON."""
    if isinstance(value, dict):
        return {name: in_json(each) for name, each in value.items()}
    if isinstance(value, list):
        return [in_json(each) for each in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, date | datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal) or (type(value) is int and abs(value) >= 2**63):
        return str(value)
    return value


def test_nan_and_infinity_are_null_and_present(server, shop):
    shop.define("orders", {"order_id": "int64"}, {"real": "float64", "reals": "array<float64>"})
    shop.write("orders", [1], math.nan, [math.inf, 1.5])
    shop.publish("floats", {"orders": None})
    columns = server.columns("floats", order_id=[1])
    assert columns["real"]["values"] == [None]
    assert columns["reals"]["values"] == [[None, 1.5]]
    assert columns["real"]["statuses"] == columns["reals"]["statuses"] == ["PRESENT"]


def test_a_default_answers_with_the_status_not_found(server):
    column = server.columns("fraud", order_id=[99, None], customer=["c1", "c1"])["whole"]
    assert (column["values"], column["statuses"]) == ([42, 42], ["NOT_FOUND", "NOT_FOUND"])


def test_an_expired_row_is_outside_its_max_age(server, shop):
    shop.define("aged", {"order_id": "int64"}, {"x": "int64"}, ttl=timedelta(hours=1), as_of=NOON)
    shop.write("aged", [1], 5, at=NOON - timedelta(hours=2))
    shop.publish("aging", {"aged": None})
    column = server.columns("aging", order_id=[1])["x"]
    assert column == {"values": [None], "statuses": ["OUTSIDE_MAX_AGE"], "event_timestamps": ["2024-01-01T10:00:00Z"]}


def test_no_entities_have_no_values(server):
    assert server.columns("tiers", customer=[])["tier"] == {"values": [], "statuses": [], "event_timestamps": []}


def test_what_cannot_be_read_is_an_error_or_null_as_the_caller_wishes(server, shop):
    shop.define("customers", {"customer": "string"}, {"tier": "string"})  # a push that the card does not know yet
    shop.write("customers", ["c1"], "gold")
    assert "spend is not in the rows in Redis" in server.detail(503, "tiers", customer=["c1"])
    for lenient in ({"query": "?on_error=null"}, {"options": {"on_error": "null"}}):
        columns = server.columns("tiers", customer=["c1", "c2"], **lenient)
        assert columns["tier"]["statuses"] == ["PRESENT", "PRESENT"]
        assert columns["spend"] | {"event_timestamps": None} == {
            "values": [None, None], "statuses": ["INVALID", "NULL_VALUE"], "event_timestamps": None
        }  # fmt: skip
    column = server.columns("fraud", order_id=["x", 1], customer=["c2", "c2"], options={"on_error": "null"})["whole"]
    assert (column["values"], column["statuses"]) == ([None, 7], ["INVALID", "PRESENT"])


def test_a_row_whose_event_timestamp_there_is_not_is_an_error_and_no_crash(server, shop):
    _, schema = shop.views["customers"]
    shop.client.set("shop:customers:{c1}", encode_row([schema.id, 2**62, "gold", 1.5]))
    detail = server.detail(503, "tiers", customer=["c1", "c2"])
    assert "customers: the row shop:customers:{c1} in Redis cannot be read (its event timestamp is" in detail


# Refusals


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, b"", "not JSON"),
        (400, b"{", "not JSON"),
        (400, b"\xff\xfe", "not JSON"),
        (400, b'{"x": ' + b"[" * 100_000, "not JSON"),
        (400, b'{"feature_service": "tiers", "entities": {"customer": [NaN]}}', "not JSON"),
        (422, b"[]", "object"),
        (422, b'{"entities": {}}', "feature_service"),
        (422, b'{"features": ["customers:tier"], "entities": {"customer": ["c1"]}}', "feature_service.*GET /services"),
        (422, b'{"feature_service": "tiers"}', "entities"),
        (422, b'{"feature_service": 1, "entities": {}}', "feature_service"),
        (422, b'{"feature_service": "tiers", "entities": {}}', "needs customer"),
        (422, b'{"feature_service": "tiers", "entities": {"customer": "c1"}}', "array"),
        (422, b'{"feature_service": "tiers", "entities": {"customer": [["c1"]]}}', "entities"),
        (422, b'{"feature_service": "tiers", "entities": {"custmer": ["c1"]}}', "did you mean 'customer'"),
        (422, b'{"feature_service": "tiers", "entities": {"customer": ["c1"], "x": [1]}}', "no key 'x'"),
        (422, b'{"feature_service": "tiers", "entities": {"customer": [1.5]}}', "customers expects string"),
        (422, b'{"feature_service": "fraud", "entities": {"customer": ["c"], "order_id": [1, 2]}}', "as many values"),
        (422, b'{"feature_service": "fraud", "entities": {"customer": ["c"], "order_id": ["x"]}}', "expects int64"),
        (422, b'{"feature_service": "fraud", "entities": {"customer": ["c"], "order_id": [1e300]}}', "order_id"),
        (422, b'{"feature_service": "fraud", "entities": {"customer": ["c"], "order_id": [%d]}}' % 10**50, "order_id"),
        (422, b'{"feature_service": "tiers", "entities": {"customer": ["c"]}, "on_error": "none"}', "on_error"),
        (404, b'{"feature_service": "tires", "entities": {"customer": ["c1"]}}', "did you mean 'tiers'"),
        (422, b'{"feature_service": "%s", "entities": {}}' % (b"x" * 501), "length <= 500"),
        (422, b'{"feature_service": "tiers", "entities": {"%s": []}}' % (b"x" * 501), "length <= 500"),
        (404, b'{"feature_service": "%s", "entities": {}}' % (b"x" * 500), "no feature service"),
        (413, b'{"feature_service": "tiers", "entities": {"customer": [1%s]}}' % (b", 1" * 10_000), "10,000 ent"),
        (413, b" " * 10_000_001, "10,000,000 bytes"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_answered_says_why(server, status, body, reason):
    response = server.client.post("/get-online-features", content=body)
    assert response.status_code == status, response.text
    assert [*response.json()] == ["detail"]
    assert re.search(reason, response.json()["detail"]), response.text


def test_as_many_entities_as_a_request_may_have_are_answered(server):
    assert len(server.columns("tiers", customer=["c"] * 10_000)["tier"]["values"]) == 10_000


def test_an_unknown_on_error_in_the_query_is_refused(server):
    assert 'on_error is "raise" or "null"' in server.detail(422, "tiers", customer=["c1"], query="?on_error=skip")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/get-online-features", {"POST"}),
        ("POST", "/services", {"GET", "HEAD"}),
        ("PUT", "/ready", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_names_the_right_ones(server, method, path, allowed):
    response = server.client.request(method, path)
    assert response.status_code == 405
    assert {*response.headers["allow"].split(", ")} == allowed
    assert [*response.json()] == ["detail"]


def test_an_unknown_path_says_where_the_paths_are(server):
    response = server.client.get("/features")
    assert (response.status_code, response.json()) == (404, {"detail": "there is no /features; see /openapi.json"})


def test_all_but_health_and_readiness_needs_the_token(serve):
    server = serve(FEATURE_SYNC_TOKEN="of the house")
    ways = ["/get-online-features", "/services", "/services/tiers", "/metrics", "/openapi.json", "/nothing"]
    for authorization in (None, "", "Bearer", "Bearer of the hous", "Bearer of the house!", "Basic of the house", "é"):
        headers = {} if authorization is None else {"Authorization": authorization.encode()}
        for path in ways:
            response = server.client.get(path, headers=headers)
            assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer"), path
    assert {server.client.get(path).status_code for path in ("/health", "/ready")} == {200}
    server.client.headers["Authorization"] = "bearer of the house"
    assert server.columns("tiers", customer=["c1"])["tier"]["values"] == ["gold"]
    assert [server.client.get(path).status_code for path in ways] == [405, 200, 200, 200, 200, 404]


# Services


def test_services_describe_keys_and_features_and_no_redis_key(server):
    services = server.client.get("/services").json()["services"]
    assert [each["name"] for each in services] == ["fraud", "tiers"]
    assert services[1] == server.client.get("/services/tiers").json()
    assert services[1] | {"shape": ""} == {
        "name": "tiers",
        "keys": [{"name": "customer", "type": "string"}],
        "features": [
            {"name": "tier", "type": "string", "view": "customers", "ttl_seconds": None},
            {"name": "spend", "type": "float64", "view": "customers", "ttl_seconds": None},
        ],
        "shape": "",
        "logic": "0123456789abcdef",
    }
    response = server.client.get("/services/tires")
    assert response.status_code == 404
    assert "did you mean 'tiers'" in response.json()["detail"]


def test_a_service_that_is_pushed_while_the_server_runs_is_served(server, shop):
    assert "no feature service" in server.detail(404, "newest", customer=["c1"])
    shop.publish("newest", {"customers": ["spend"]})
    assert [*server.columns("newest", customer=["c1"])] == ["customer", "spend"]
    assert "newest" in {each["name"] for each in server.client.get("/services").json()["services"]}


def test_what_a_push_changes_holds_from_the_next_request_on(server, shop):
    assert server.columns("tiers", customer=["c1"])["tier"]["statuses"] == ["PRESENT"]
    shop.define(
        "customers", {"customer": "string"}, {"tier": "string", "age": "int64"}, ttl=timedelta(hours=1), as_of=NOON,
        defaults={"tier": "none"},
    )  # fmt: skip
    shop.write("customers", ["c1"], "gold", 30, at=NOON - timedelta(hours=2))
    shop.write("customers", ["c2"], "iron", 40)
    shop.publish("tiers", {"customers": None})
    columns = server.columns("tiers", customer=["c1", "c2"])
    assert [*columns] == ["customer", "tier", "age"]
    assert (columns["tier"]["values"], columns["age"]["values"]) == (["none", "iron"], [None, 40])
    assert columns["age"]["statuses"] == ["OUTSIDE_MAX_AGE", "PRESENT"]
    assert server.client.get("/services/tiers").json()["features"][1]["ttl_seconds"] == 3600


def test_a_service_that_is_removed_is_not_found(server, shop):
    server.columns("tiers", customer=["c1"])
    shop.online.withdraw(["tiers"])
    assert "no feature service" in server.detail(404, "tiers", customer=["c1"])
    shop.publish("tiers", {"customers": None})
    assert server.columns("tiers", customer=["c1"])["tier"]["values"] == ["gold"]


def test_a_server_of_named_services_serves_no_other_and_is_ready_when_they_are_there(serve, shop):
    server = serve("--service", "tiers", "--service", "later")
    assert server.columns("tiers", customer=["c1"])["tier"]["values"] == ["gold"]
    assert "no feature service 'fraud'" in server.detail(404, "fraud", order_id=[1], customer=["c1"])
    assert server.client.get("/services/fraud").status_code == 404
    assert [each["name"] for each in server.client.get("/services").json()["services"]] == ["tiers"]
    ready = server.client.get("/ready")
    assert (ready.status_code, "no card of 'later'" in ready.json()["detail"]) == (503, True)
    shop.publish("later", {"orders": ["whole"]})
    assert server.client.get("/ready").json() == {"status": "ready"}


# Redis fails


def test_a_redis_that_ends_and_comes_back_is_503_and_then_served(serve):
    with RedisServer() as redis:
        shop = fill(Shop(redis.url))
        server = serve(url=redis.url)
        assert server.columns("tiers", customer=["c1"])["tier"]["values"] == ["gold"]
        redis.kill()
        for path in ("/ready", "/services", "/services/tiers"):
            assert server.client.get(path).status_code == 503
        assert "Redis at" in server.detail(503, "tiers", customer=["c1"])
        assert server.client.get("/health").status_code == 200
        redis.start()
        server.wait_until_ready()
        assert server.columns("tiers", customer=["c1"])["tier"]["values"] == ["gold"]
        shop.close()


def test_a_redis_that_hangs_is_503_within_the_timeout(serve):
    with RedisServer() as redis:
        shop = fill(Shop(redis.url))
        server = serve("--timeout", "0.3", url=redis.url)
        server.columns("tiers", customer=["c1"])
        os.kill(redis.pid, signal.SIGSTOP)
        try:
            for _ in range(3):
                response = server.ask("tiers", customer=["c1"])
                assert response.status_code == 503
                assert 0.29 < response.elapsed.total_seconds() < 2  # a busy machine adds some
            assert server.client.get("/ready").status_code == 503
            assert server.client.get("/health").elapsed.total_seconds() < 0.3
        finally:
            os.kill(redis.pid, signal.SIGCONT)
        server.wait_until_ready()
        assert server.columns("tiers", customer=["c1"])["tier"]["values"] == ["gold"]
        shop.close()


# Operation


def test_metrics_count_requests_by_route_and_values_by_status(serve):
    server = serve()
    server.columns("tiers", customer=["c1", "nobody"])
    server.detail(404, "tires", customer=["c1"])
    server.client.get("/services/tiers")
    server.client.get("/.env")
    response = server.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    lines = dict(line.rsplit(" ", 1) for line in response.text.splitlines() if not line.startswith("#"))
    assert {name: float(value) for name, value in lines.items() if name.startswith("feature_sync_values")} == {
        'feature_sync_values_total{service="tiers",status="present"}': 1,
        'feature_sync_values_total{service="tiers",status="null"}': 1,
        'feature_sync_values_total{service="tiers",status="missing"}': 2,
    }
    assert {name: float(value) for name, value in lines.items() if name.startswith("feature_sync_requests")} == {
        'feature_sync_requests_total{route="/health",status="200"}': 1,
        'feature_sync_requests_total{route="/get-online-features",status="200"}': 1,
        'feature_sync_requests_total{route="/get-online-features",status="404"}': 1,
        'feature_sync_requests_total{route="/services/{name}",status="200"}': 1,
        'feature_sync_requests_total{route="other",status="404"}': 1,
    }
    assert lines['feature_sync_request_seconds_count{route="/get-online-features"}'] == "2.0"


def test_workers_share_a_port_and_count_together(serve):
    server = serve("--workers", "2")
    for _ in range(20):
        assert httpx.post(f"{server.url}/get-online-features", json=BODY).status_code == 200
    lines = server.client.get("/metrics").text.splitlines()
    assert 'feature_sync_requests_total{route="/get-online-features",status="200"} 20.0' in lines
    children = [int(each) for each in children_of(server.process.pid)]
    assert len(children) >= 2
    assert server.stop() == 0
    deadline = time.monotonic() + 10
    while any(map(is_alive, children)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


BODY = {"feature_service": "tiers", "entities": {"customer": ["c1"]}}


def children_of(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_command_imports_neither_dbt_nor_sql_nor_a_warehouse(serve):
    server = serve(python=("-X", "importtime"))
    server.columns("fraud", order_id=[1], customer=["c1"])
    server.client.get("/services")
    server.process.send_signal(signal.SIGTERM)
    _, log = server.process.communicate(timeout=30)
    imported = {line.rpartition("|")[2].strip() for line in log.splitlines() if line.startswith("import time:")}
    assert "feature_sync.serving.server.app" in imported
    assert not [each for each in imported if each.partition(".")[0] in WITHOUT]
    assert not [each for each in imported if each.startswith(("feature_sync.warehouses", "feature_sync.store"))]


def test_it_runs_under_uvicorn_alone_by_the_environment(shop, tmp_path):
    environment = {**os.environ, "FEATURE_SYNC_REDIS_URL": shop.url, "FEATURE_SYNC_KEY_PREFIX": "shop"}
    command = [sys.executable, "-m", "uvicorn", "--factory", "feature_sync.serving.server:create_app", "--port", "0"]
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        url = next(line for line in process.stderr if "running on" in line).partition("running on ")[2].split()[0]
        assert httpx.post(f"{url}/get-online-features", json=BODY).json()["results"][1]["values"] == ["gold"]
    finally:
        process.terminate()
        process.communicate()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "--redis-url, or FEATURE_SYNC_REDIS_URL"),
        (["--redis-url", "redis://x"], "--key-prefix, or FEATURE_SYNC_KEY_PREFIX"),
        (["--redis-url", "http://x", "--key-prefix", "p"], "redis://"),
        (["--redis-url", "redis://x", "--key-prefix", "p", "--timeout", "0"], "timeout is a number of seconds"),
    ],
)
def test_a_wrong_setting_is_one_line_before_anything_is_served(tmp_path, arguments, reason):
    command = [sys.executable, "-m", "feature_sync", "serve", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert reason in done.stderr


def test_a_port_that_is_taken_is_one_line(server, tmp_path):
    port = server.url.rpartition(":")[2]
    command = [sys.executable, "-m", "feature_sync", "serve", "--redis-url", "redis://x", "--key-prefix", "p"]
    done = subprocess.run([*command, "--port", port], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "in use" in done.stderr


def test_without_its_extra_the_command_names_it(tmp_path):
    script = "import sys; sys.modules['uvicorn'] = None; from feature_sync.cli import main; main()"
    arguments = ["serve", "--redis-url", "redis://x", "--key-prefix", "p"]
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    expected = "Error: feature-sync serve needs uvicorn: pip install 'feature-sync[server]'\n"
    assert (done.returncode, done.stderr) == (1, expected)


def test_what_a_project_pushes_is_served(example, redis_url, tmp_path):
    pushed = example.feature_sync("push", FEATURE_SYNC_REDIS_URL=redis_url, FEATURE_SYNC_KEY_PREFIX="shop")
    assert pushed.returncode == 0, pushed.stderr
    keys = {"carrier": "B6", "tailnum": "N193JB", "origin": "JFK"}
    with HttpServer(tmp_path, redis_url) as server:
        service = server.client.get("/services/departure_delay_model").json()
        columns = server.columns(service["name"], **{each["name"]: [keys[each["name"]]] for each in service["keys"]})
    with FeatureClient(redis_url, service["name"], prefix="shop", timeout=5) as client:
        vector = client.get(keys)
    assert {name: columns[name]["values"] for name in vector} == {name: [in_json(vector[name])] for name in vector}
    assert {status for name in vector for status in columns[name]["statuses"]} == {"PRESENT"}
