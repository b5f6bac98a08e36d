"""A Redis Cluster of three nodes that keep nothing on disk, for the bench."""

from __future__ import annotations

import random
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis

from feature_sync.online.redis.server import _executable
from feature_sync.online.slots import SLOTS

_NODES = 3
_BUS_OFFSET = 10_000
_SECONDS = 60


@contextmanager
def empty_cluster() -> Iterator[str]:
    """Start a cluster and lend its URL."""
    with TemporaryDirectory(prefix="cluster") as folder, ExitStack() as stack:
        ports = [_free_port() for _ in range(_NODES)]
        for port in ports:
            stack.enter_context(_node(Path(folder), port))
        clients: list[Any] = [stack.enter_context(closing(redis.Redis(port=port))) for port in ports]
        for at, client in enumerate(clients):
            first, last = at * SLOTS // _NODES, (at + 1) * SLOTS // _NODES - 1
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0])
        deadline = time.monotonic() + _SECONDS
        while not all("cluster_state:ok" in str(each.execute_command("CLUSTER", "INFO")) for each in clients):
            if time.monotonic() > deadline:
                raise TimeoutError("the cluster did not come up")
            time.sleep(0.05)
        yield "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in ports)


def copy_keys(source: Any, url: str) -> None:
    """Copy all keys of a Redis to a cluster."""
    host, _, port = url.removeprefix("redis+cluster://").partition(",")[0].partition(":")
    with closing(redis.RedisCluster(host=host, port=int(port))) as target:
        for key in source.scan_iter(count=1_000):
            target.restore(key, 0, source.dump(key))


@contextmanager
def _node(folder: Path, port: int) -> Iterator[None]:
    settings = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
    files = folder / str(port)
    files.mkdir()
    command = [_executable(), *settings, "--cluster-enabled", "yes"]
    process = subprocess.Popen(command, cwd=files, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no node of the cluster answers at port {port}")
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    with suppress(redis.ConnectionError), closing(redis.Redis(port=port)) as client:
        return bool(client.ping())
    return False


def _free_port() -> int:
    """Return a port that is free, as is that of the cluster's bus."""
    while True:
        port = random.randint(20_000, 45_000)  # noqa: S311 - not for secrets
        with socket.socket() as probe, socket.socket() as bus, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + _BUS_OFFSET))
            return port
