"""Requests a second to the two HTTP servers: one entity, 8 connections that stay open."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter
from urllib.error import URLError
from urllib.request import Request, urlopen

from bench.engines import WrongAnswer
from bench.http_load import load
from bench.report import Table, Target, number
from bench.serving.clock import Spread, shown
from bench.serving.data import Served
from bench.serving.names import KEY, PREFIX, SERVICES, TIMEOUT, features_of

_CONNECTIONS = 8
_ROUNDS, _SECONDS = 7, 2.0
_SECONDS_TO_START = 60
_SERVICE, _THING = "one_of_10", 7
_LEAST_TIMES = 5
_ENTITIES = {"entities": {KEY: [_THING]}}
_LISTED = [f"{view}:{name}" for view in SERVICES[_SERVICE] for name in features_of(view)]
_SERVICE_BODY = json.dumps({"feature_service": _SERVICE, **_ENTITIES}).encode()
_BODIES = {
    "feature-sync serve": _SERVICE_BODY,
    "feast serve, a feature service": _SERVICE_BODY,
    "feast serve, a list of features": json.dumps({"features": _LISTED, **_ENTITIES}).encode(),
}


def tables(served: Served, folder: Path, feast: Path, scale: float) -> Iterator[Table]:
    """Time both servers, each one process with one worker.

    Args:
        served: What Redis holds.
        folder: The repository of Feast's server.
        feast: Feast's command.
        scale: Multiplies the seconds.
    """
    if find_spec("feature_sync.serving.server") is None or find_spec("uvicorn") is None:
        table = Table("Requests a second over HTTP", ("", "requests a second"))
        table.notes.append("Not measured: feature-sync has no server here; install its extra `server`.")
        yield table
        return
    with ExitStack() as stack:
        ours = stack.enter_context(_serving(_ours(served.tcp)))
        feasts = stack.enter_context(_serving(_feasts(folder, feast)))
        servers = dict(zip(_BODIES, (ours, feasts, feasts), strict=True))
        for name, url in servers.items():
            served.check(name, _SERVICE, [_THING], [_asked_until_it_answers(url, _BODIES[name])])
        seconds = _SECONDS * min(scale, 1)
        rounds = [{name: _load(name, url, seconds) for name, url in servers.items()} for _ in range(_ROUNDS + 1)]
    yield _shown({name: [each[name] for each in rounds[1:]] for name in servers})


Start = Callable[[], tuple[subprocess.Popen[str], str]]
"""Starts a server; returns its process and its URL."""


def _ours(redis: str) -> Start:
    command = [sys.executable, "-m", "feature_sync", "serve", "--redis-url", redis, "--key-prefix", PREFIX]
    command += ["--port", "0", "--timeout", str(TIMEOUT)]

    def start() -> tuple[subprocess.Popen[str], str]:
        root = Path(__file__).parents[2]
        process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=root)
        return process, process.stdout.readline().strip() if process.stdout else ""

    return start


def _feasts(folder: Path, feast: Path) -> Start:
    """Feast's own default ends its worker after 1,000 requests, and loses what is on its way; here it goes on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [str(feast), "-c", str(folder), "serve", "-p", port, "--no-access-log", "--max-requests", "0"]

    def start() -> tuple[subprocess.Popen[str], str]:
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, text=True, stdout=quiet, stderr=quiet), f"http://127.0.0.1:{port}"

    return start


@contextmanager
def _serving(start: Start) -> Iterator[str]:
    process, url = start()
    with process:
        try:
            yield f"{url}/get-online-features"
        finally:
            process.terminate()
            try:
                process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()


def _asked_until_it_answers(url: str, body: bytes) -> list[float]:
    """Return the values of the entity."""
    deadline = time.monotonic() + _SECONDS_TO_START
    asked = Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310 - of this machine
    while True:
        try:
            with urlopen(asked, timeout=TIMEOUT) as response:  # noqa: S310
                answer = json.load(response)
                break
        except URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    columns = dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))
    return [columns[name]["values"][0] for view in SERVICES[_SERVICE] for name in features_of(view)]


def _load(name: str, url: str, seconds: float) -> tuple[float, Spread]:
    import uvloop

    begun = perf_counter()
    statuses, taken = uvloop.run(load(url, _BODIES[name], connections=_CONNECTIONS, seconds=seconds))
    took = perf_counter() - begun
    if {*statuses} != {b"200"}:
        raise WrongAnswer(f"{name}: responses by status {statuses}")
    return len(taken) / took, Spread.of(taken)


def _shown(took: Mapping[str, Sequence[tuple[float, Spread]]]) -> Table:
    columns = ("", "requests a second", "p50", "p99", "share of feature-sync's")
    table = Table(f"Requests a second over HTTP: one entity of 10 features, {_CONNECTIONS} connections", columns)
    rates = {name: median(rate for rate, _ in rounds) for name, rounds in took.items()}
    ours, *feasts = rates.values()
    for name, rounds in took.items():
        times = [median(getattr(spread, each) for _, spread in rounds) for each in ("p50", "p99")]
        table.add(name, f"{rates[name]:,.0f}", *map(shown, times), f"{number(rates[name] / ours)} ×")
    ratio = ours / max(feasts)
    table.targets.append(
        Target("Requests a second, times those of Feast's quickest", ratio, _LEAST_TIMES, at_least=True)
    )
    table.notes.append(
        "Each server has one worker. Feast's would end it after 1,000 requests by default; here it does not."
    )
    return table
