"""A Redis Cluster and a set of Sentinels on loopback, whose nodes tests stop, kill and start again."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import redis
import trustme

from feature_sync.online.redis.server import _executable
from feature_sync.online.slots import SLOTS, slot_of
from tests.support.proxy import Proxy

_SECONDS = 60
_BUS_OFFSET = 10_000


class Process:
    """A server process of a test, with files in a folder of its own."""

    def __init__(self, folder: Path, port: int, *arguments: str) -> None:
        self.port = port
        self.announced = port
        self._folder = folder / str(port)
        self._folder.mkdir(parents=True)
        self._arguments = arguments
        self.start()

    def start(self) -> None:
        with (self._folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                [_executable(), *self._arguments], cwd=self._folder, stdout=log, stderr=subprocess.STDOUT
            )
        until(self.answers, f"the server at port {self.port} did not start")

    def answers(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()
        with suppress(redis.ConnectionError, redis.TimeoutError), self.client() as client:
            return bool(client.ping())
        return False

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=_SECONDS)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)


class Servers:
    """Servers in one temporary folder, all killed at the end."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="nodes"))
        self.processes: list[Process] = []

    def start(self, *arguments: str, port: int | None = None) -> Process:
        port = port or free_port()
        settings = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        self.processes.append(Process(self.folder, port, *settings, *arguments))
        return self.processes[-1]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for each in self.processes:
            each.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Cluster(Servers):
    """Three primaries, each with so many replicas."""

    def __init__(self, *, replicas: int = 0, settings: tuple[str, ...] = ()) -> None:
        super().__init__()
        arguments = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", *settings)
        nodes = [self.start(*arguments) for _ in range(3 * (1 + replicas))]
        self.primaries, self.replicas = nodes[:3], nodes[3:]
        for at, each in enumerate(self.primaries):
            first, last = at * SLOTS // 3, (at + 1) * SLOTS // 3 - 1
            self.run(each, "CLUSTER", "ADDSLOTSRANGE", first, last)
            self.run(each, "CLUSTER", "SET-CONFIG-EPOCH", at + 1)
        for each in nodes[1:]:
            self.run(nodes[0], "CLUSTER", "MEET", "127.0.0.1", each.port)
        for at, each in enumerate(self.replicas):
            primary = self.id_of(self.primaries[at % 3])
            until(lambda node=each, known=primary: self._knows(node, known), "a replica does not know its primary")
            self.run(each, "CLUSTER", "REPLICATE", primary)
        until(self.is_whole, "the cluster did not come up")

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{each.port}" for each in self.primaries)

    def copy(self, source: str) -> None:
        """Make the cluster hold the keys of a Redis. The revision comes last, as pushes write it."""
        with redis.Redis.from_url(source) as client, ExitStack() as stack:
            clients = {each.port: stack.enter_context(each.client()) for each in self.processes}
            for key in sorted(client.scan_iter(), key=lambda each: each.endswith(b":revision")):
                clients[self.owner(slot_of(key)).port].restore(key, 0, client.dump(key), replace=True)
            if self.replicas:
                assert all(clients[each.port].wait(1, 10_000) for each in self.primaries)

    def empty(self) -> None:
        """Delete all keys."""
        for each in self.primaries:
            self.run(each, "FLUSHALL")

    def run(self, node: Process, *command: str | int):
        with node.client() as client:
            return client.execute_command(*command)

    def id_of(self, node: Process) -> str:
        return self.run(node, "CLUSTER", "MYID").decode()

    def _knows(self, node: Process, known: str) -> bool:
        return known in str(self.run(node, "CLUSTER", "NODES"))

    def is_whole(self) -> bool:
        for each in self.processes:
            state = str(self.run(each, "CLUSTER", "INFO"))
            nodes = str(self.run(each, "CLUSTER", "NODES"))
            if "cluster_state:ok" not in state or nodes.count("connected") != len(self.processes) or "fail" in nodes:
                return False
        states = map(self._replication, self.processes)
        return all(state.get("master_link_status", "up") == "up" for state in states)

    def _replication(self, node: Process) -> dict:
        with node.client() as client:
            return client.info("replication")

    def role(self, node: Process) -> str:
        return self._replication(node)["role"]

    def owner(self, slot: int) -> Process:
        """Return the primary that serves a slot, as the first node that answers says."""
        for first, last, (_, port, *_), *_ in self.run(self.primaries[0], "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(each for each in self.processes if each.announced == port)
        raise AssertionError(f"nobody serves slot {slot}")

    def begin_move(self, slot: int, target: Process) -> Process:
        """Mark a slot as moving; returns its owner."""
        source = self.owner(slot)
        self.run(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        self.run(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target))
        return source

    def move_keys(self, source: Process, target: Process, slot: int, count: int = 1_000) -> int:
        """Move some keys of a slot; returns how many."""
        keys = self.run(source, "CLUSTER", "GETKEYSINSLOT", slot, count)
        if keys:
            self.run(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *keys)
        return len(keys)

    def end_move(self, slot: int, target: Process) -> None:
        for each in (target, *self.primaries):
            self.run(each, "CLUSTER", "SETSLOT", slot, "NODE", self.id_of(target))

    def move(self, slot: int, target: Process) -> None:
        """Move a slot with all its keys."""
        source = self.begin_move(slot, target)
        while self.move_keys(source, target, slot):
            pass
        self.end_move(slot, target)


class TlsCluster(Cluster):
    """Three primaries that announce ports at which they are reached over TLS."""

    def __init__(self, certificate: trustme.LeafCert) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._opened = ExitStack()
        self._ports: list[int] = []
        self.present(certificate)
        super().__init__()

    def present(self, certificate: trustme.LeafCert) -> None:
        """Show a certificate to all who connect from now on."""
        certificate.configure_cert(self._context)

    def start(self, *arguments: str, port: int | None = None) -> Process:
        port = port or free_port()
        path = str(self.folder / f"{port}.socket")
        self._ports.append(self._opened.enter_context(Proxy(path, tls=self._context)).port)
        announced = ("--cluster-announce-port", f"{self._ports[-1]}", "--cluster-announce-bus-port")
        process = super().start(*arguments, "--unixsocket", path, *announced, f"{port + _BUS_OFFSET}", port=port)
        process.announced = self._ports[-1]
        return process

    @property
    def url(self) -> str:
        return "rediss+cluster://" + ",".join(f"127.0.0.1:{port}" for port in self._ports)

    def __exit__(self, *error):
        self._opened.close()
        super().__exit__(*error)


class Sentinels(Servers):
    """A primary with a replica, and three Sentinels that watch it as `features`."""

    def __init__(self) -> None:
        super().__init__()
        self.servers = [self.start()]
        self.servers.append(self.start("--replicaof", "127.0.0.1", str(self.servers[0].port)))
        self.sentinels = [self._sentinel() for _ in range(3)]
        until(self.is_whole, "the Sentinels did not find each other and the replica")

    @property
    def url(self) -> str:
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels) + "/features"

    def _sentinel(self, service: str = "features", server: Process | None = None) -> Process:
        port = free_port()
        file = self.folder / f"{port}.conf"
        watched = (server or self.servers[0]).port
        file.write_text(
            f"port {port}\nbind 127.0.0.1\nsentinel monitor {service} 127.0.0.1 {watched} 2\n"
            f"sentinel down-after-milliseconds {service} 500\nsentinel failover-timeout {service} 2000\n"
        )
        self.processes.append(Process(self.folder, port, str(file), "--sentinel"))
        return self.processes[-1]

    def disagree(self, service: str, wrong: Process) -> Process:
        """Start one more Sentinel, which takes another server for the primary of a service, and return it."""
        primary = self.primary
        for each in self.sentinels:
            with each.client() as client:
                client.execute_command("SENTINEL", "MONITOR", service, "127.0.0.1", primary.port, 3)
        return self._sentinel(service, wrong)

    def fail_over(self) -> None:
        """Have the replica take the place of the primary, which becomes its replica."""
        with self.sentinels[0].client() as client:
            client.execute_command("SENTINEL", "FAILOVER", "features")

    @property
    def primary(self) -> Process:
        """The server that the Sentinels name."""
        with self.sentinels[0].client() as client:
            port = int(client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "features")[1])
        return next(each for each in self.servers if each.port == port)

    def is_whole(self) -> bool:
        """True if each Sentinel knows the others and a replica that follows."""
        for each in self.sentinels:
            with each.client() as client:
                state = client.sentinel_master("features")
            if (state["num-slaves"], state["num-other-sentinels"], state["flags"]) != (1, 2, "master"):
                return False
        other = next(each for each in self.servers if each is not self.primary)
        with other.client() as client:
            return client.info("replication").get("master_link_status") == "up"


def until(holds: Callable[[], bool], failure: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + _SECONDS
    while not holds():
        assert time.monotonic() < deadline, failure
        time.sleep(0.02)


def free_port() -> int:
    """Return a port that is free, as is that of the cluster's bus."""
    while True:
        port = random.randint(20_000, 45_000)
        with socket.socket() as probe, socket.socket() as bus, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + _BUS_OFFSET))
            return port
