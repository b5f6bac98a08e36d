"""The bench's Redis as any client sees it: ready-made bytes, what it counts, and spot checks by plain MessagePack."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import msgpack
import redis

from bench.engines import Engine, WrongAnswer
from bench.product import ENTITY_FEATURES, KEYS, redis_server

_KEYS_PER_READ = 1_000
_BYTES_PER_READ = 1 << 20
_SPOTS = 500
_TIMES = [name for name, kind in ENTITY_FEATURES.items() if kind == "timestamp"]
_TO_MICROSECONDS = "cast(extract(epoch from {0}) * 1000000 as bigint) as {0}"


@contextmanager
def empty_redis() -> Iterator[tuple[str, Any]]:
    """Start a Redis that keeps nothing on disk; lend its URL and a client. The path of a unix socket must be short."""
    with (
        TemporaryDirectory(prefix="redis") as folder,
        redis_server(Path(folder)) as url,
        redis.Redis.from_url(url) as client,
    ):
        client.config_set("appendonly", "no")
        yield url, client


def listen(client: Any) -> str:
    """Let the Redis listen on a free port too; returns its address. Feast knows no unix sockets."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    client.config_set("bind", "127.0.0.1")
    client.config_set("port", port)
    return f"127.0.0.1:{port}"


def empty(client: Any) -> None:
    """Remove all keys, and wait until their memory is free: left to itself, Redis frees it in the background."""
    client.execute_command("FLUSHALL", "SYNC")


def ready_made(client: Any) -> list[bytes]:
    """Read all rows back, as the commands that would write them."""
    found = client.scan_iter(match=f"{KEYS}*", count=_KEYS_PER_READ)
    return [_set_commands(client, keys) for keys in _batches(found)]


def send_ready_made(url: str, commands: Sequence[bytes], rows: int) -> None:
    """Send commands through one bare socket, while a thread drains the replies."""
    with socket.socket(socket.AF_UNIX) as bare:
        bare.connect(urlsplit(url).path)
        drain = Thread(target=_drain, args=(bare, rows * len("+OK\r\n")))
        drain.start()
        for each in commands:
            bare.sendall(each)
        drain.join()


def calls(client: Any) -> dict[str, int]:
    """Tell how often each command was called since `CONFIG RESETSTAT`; those of scripts count too."""
    return {
        name.removeprefix("cmdstat_"): said["calls"]
        for name, said in client.info("commandstats").items()
        if not name.startswith(("cmdstat_info", "cmdstat_config"))
    }


def check_rows(client: Any, engine: Engine, newest: str, features: Sequence[str], *, view: str) -> None:
    """Compare all rows of a view in Redis with a table of newest rows, with nothing of feature-sync between.

    Raises:
        WrongAnswer: Redis holds other rows.
    """
    moment = _TO_MICROSECONDS.format("happened_at")
    rows = engine.fetch(f"select entity_id, {moment}, {', '.join(features)} from {newest}")
    contents = client.mget([f"bench:{view}:{{{entity}}}" for entity, *_ in rows])
    for (entity, *values), content in zip(rows, contents, strict=True):
        held = None if content is None else msgpack.unpackb(content)[1:]
        if held != values:
            raise WrongAnswer(f"entity {entity}: by hand {values}, Redis holds {held}")
    found = sum(1 for _ in client.scan_iter(match=f"bench:{view}:{{*", count=_KEYS_PER_READ))
    if not rows or found != len(rows):
        raise WrongAnswer(f"Redis holds {found:,} entities, by hand there are {len(rows):,}")


def check_spots(client: Any, engine: Engine, entities: int) -> None:
    """Read some entities on both sides, with nothing of feature-sync between.

    Raises:
        WrongAnswer: Redis holds something else than the newest row.
    """
    columns = ["happened_at", *ENTITY_FEATURES]
    wire = ", ".join(_TO_MICROSECONDS.format(name) if name in (*_TIMES, "happened_at") else name for name in columns)
    rows = engine.fetch(
        f"select entity_id, {wire} from (select *, row_number() over (partition by entity_id order by bench_rows."
        f"happened_at desc) as place from bench.entities bench_rows where entity_id % {max(1, entities // _SPOTS)} = 0"
        ") ranked where place = 1"
    )
    contents = client.mget([f"{KEYS}{entity}}}" for entity, *_ in rows])
    for (entity, *values), content in zip(rows, contents, strict=True):
        held = None if content is None else msgpack.unpackb(content)[1:]
        if held != values:
            raise WrongAnswer(f"entity {entity}: the warehouse says {values}, Redis holds {held}")


def _set_commands(client: Any, keys: Sequence[bytes]) -> bytes:
    with client.pipeline(transaction=False) as pipeline:
        pipeline.mget(keys)
        for key in keys:
            pipeline.pexpiretime(key)
        values, *ends = pipeline.execute()
    commands = ((b"SET", key, value, b"PXAT", b"%d" % end) for key, value, end in zip(keys, values, ends, strict=True))
    return b"".join(
        b"*5\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in command) for command in commands
    )


def _batches(keys: Iterator[bytes]) -> Iterator[list[bytes]]:
    while batch := list(islice(keys, _KEYS_PER_READ)):
        yield batch


def _drain(bare: socket.socket, due: int) -> None:
    while due > 0 and (replies := bare.recv(_BYTES_PER_READ)):
        due -= len(replies)
