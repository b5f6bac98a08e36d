"""The HTTP server under load: it stops without losing a request, and a slow client costs nobody else."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time

import pytest

from bench.http_load import load
from tests.support.http_server import HttpServer
from tests.support.shop import Shop, fill

BODY = {"feature_service": "fraud", "entities": {"order_id": [1, 2], "customer": ["c1", "c2"]}}


@pytest.fixture
def shop(redis_url):
    filled = fill(Shop(redis_url), rows=2)
    yield filled
    filled.close()


@pytest.mark.parametrize(
    ("number", "workers"),
    [(signal.SIGTERM, 1), (signal.SIGINT, 1), (signal.SIGTERM, 2)],
    ids=["term", "int", "workers"],
)
def test_a_signal_under_load_loses_no_request(shop, tmp_path, number, workers):
    async def measure(server):
        loading = asyncio.create_task(
            load(f"{server.url}/get-online-features", json.dumps(BODY).encode(), connections=16, seconds=30)
        )
        await asyncio.sleep(1.5)
        server.process.send_signal(number)
        return await loading

    with HttpServer(tmp_path, shop.url, "--workers", str(workers), "--timeout", "5") as server:
        statuses, _ = asyncio.run(measure(server))
        assert [*statuses] == [b"200"], statuses
        assert statuses[b"200"] > 100
        server.client.close()
        assert server.process.wait(10) == 0
        assert server.process.stderr.read() == ""


def test_a_request_on_an_idle_connection_is_answered_though_the_server_stops(shop, tmp_path):
    with HttpServer(tmp_path, shop.url) as server:
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        response = server.client.get("/services/tiers")
        assert (response.status_code, response.headers["connection"]) == (200, "close")
        assert server.process.wait(10) == 0


def test_an_idle_connection_keeps_no_server_from_stopping(shop, tmp_path):
    with HttpServer(tmp_path, shop.url) as server:
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 5


def test_a_stopping_server_accepts_no_connection(shop, tmp_path):
    with HttpServer(tmp_path, shop.url, "--workers", "2") as server:
        address = (server.client.base_url.host, server.client.base_url.port)
        server.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(address, timeout=5).close()
            except ConnectionRefusedError:
                break
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert server.process.wait(10) == 0


def test_a_body_that_comes_slowly_or_never_stops_no_other_request(shop, tmp_path):
    with HttpServer(tmp_path, shop.url) as server:
        address = (server.client.base_url.host, server.client.base_url.port)
        body = json.dumps(BODY).encode()
        head = b"POST /get-online-features HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        with socket.create_connection(address) as slow, socket.create_connection(address) as leaving:
            slow.sendall(head + body[:20])
            leaving.sendall(head + body[:20])
            assert server.client.get("/ready").status_code == 200
            slow.sendall(body[20:])
            assert slow.recv(12) == b"HTTP/1.1 200"
        deadline = time.monotonic() + 10
        while 'route="/get-online-features",status="499"} 1.0' not in server.client.get("/metrics").text:
            assert time.monotonic() < deadline
