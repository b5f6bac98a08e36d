"""A streamed feature view in Redis as a push leaves it, and the dbt project that defines it: no warehouse is needed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import redis

from feature_sync.definitions import Entity, Feature, FeatureView, Relation
from feature_sync.errors import Location
from feature_sync.online.codec import read_row, row_schema_of
from feature_sync.online.marks import SENDING, Mark
from feature_sync.online.redis.store import RedisStore
from feature_sync.online.stream_rows import streamed_schema
from feature_sync.online.streams import Snapshot
from feature_sync.value_types import parse, to_microseconds

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
PREFIX = "shop"
KEYS, FEATURES = {"id": "int64"}, {"amount": "float64", "note": "string"}
_SECONDS = 30


class StreamedOrders:
    """The view `orders`, whose stream is the topic `orders`; times are seconds after noon."""

    def __init__(self, folder: Path, redis_url: str, *, ttl: str | None = None, **stream: Any) -> None:
        self.folder, self.redis_url = folder, redis_url
        self.topic = stream.setdefault("topic", "orders")
        self.client = redis.Redis.from_url(redis_url)
        self.online = RedisStore(redis_url, key_prefix=PREFIX).view("orders")
        self._pushes = 0
        self.features = dict(FEATURES)
        self.define(ttl=ttl, stream=stream)

    def define(self, *, features: Sequence[str] = tuple(FEATURES), stream: Any = None, **settings: Any) -> None:
        """Write the project's files."""
        self.folder.mkdir(exist_ok=True)
        target = {"type": "duckdb", "path": "shop.duckdb", "schema": "main"}
        self.write_profile({"shop": {"target": "dev", "outputs": {"dev": target}}})
        project = {"name": PREFIX, "version": "1.0.0", "profile": "shop"}
        (self.folder / "dbt_project.yml").write_text(json.dumps(project))
        settings = {name: value for name, value in settings.items() if value is not None}
        block = {"entities": {"order": "id"}, "features": [*features], **settings}
        if stream is not None:
            block["stream"] = stream
        node = {
            "unique_id": "model.shop.orders",
            "name": "orders",
            "resource_type": "model",
            "package_name": PREFIX,
            "original_file_path": "models/orders.sql",
            "patch_path": "shop://models/models.yml",
            "relation_name": '"shop"."main"."orders"',
            "config": {"materialized": "table", "event_time": "at", "meta": {"feature_view": block}},
        }
        schema = "https://schemas.getdbt.com/dbt/manifest/v12.json"
        metadata = {"adapter_type": "duckdb", "project_name": PREFIX, "dbt_schema_version": schema}
        (self.folder / "target").mkdir(exist_ok=True)
        manifest = {"metadata": metadata, "nodes": {node["unique_id"]: node}, "exposures": {}, "child_map": {}}
        (self.folder / "target" / "manifest.json").write_text(json.dumps(manifest))

    def write_profile(self, profiles: Any) -> None:
        (self.folder / "profiles.yml").write_text(json.dumps(profiles))

    def push(
        self, watermark: Mapping[int, int], *rows: tuple[Any, ...], until: datetime | None = None, as_of: Any = None
    ) -> None:
        """Do what a push does in Redis: rows are (id, seconds after noon, amount, note...)."""
        self._pushes += 1
        view = FeatureView(
            name="orders",
            relation=Relation(
                name="orders",
                unique_id="model.shop.orders",
                location=Location("models/orders.yml", "orders"),
                columns={},
            ),
            entities=(Entity(name="order", join_keys=tuple(KEYS)),),
            features=tuple(Feature(name=name) for name in self.features),
            event_timestamp="at",
        )
        types = ({name: parse(kind) for name, kind in each.items()} for each in (KEYS, self.features))
        with self.online.hold(duration=timedelta(seconds=30), wait=True, stopped=lambda: False) as writer:
            schema = row_schema_of(view, *types, fence=writer.fence, as_of=as_of)
            mark = Mark(status=SENDING, push=f"push{self._pushes}", warehouse="test")
            writer.begin(mark, schema)
            beside = writer.beside_stream()
            snapshot = Snapshot(
                topic=self.topic, watermark=watermark, until=to_microseconds(until or datetime.now(UTC))
            )
            beside.open(snapshot, streamed_schema(schema))
            columns = [[*column] for column in zip(*rows, strict=True)] if rows else [[]] * (2 + len(self.features))
            ids, seconds, *values = columns
            moments = [to_microseconds(NOON + timedelta(seconds=each)) for each in seconds]
            encoder = self.online.encoder(schema, lag=None, expires=True)
            if ids:
                beside.write([[*encoder.encode([ids, moments, [None] * len(ids), *values])]])
            beside.end()
            writer.finish(mark, schema, is_only=True, streamed=streamed_schema(schema))

    def message(self, number: int, seconds: float, amount: Any, note: str | None = None) -> bytes:
        """Return a row as a message of JSON."""
        at = (NOON + timedelta(seconds=seconds)).isoformat()
        return json.dumps({"id": number, "at": at, "amount": amount, "note": note}).encode()

    def rows(self) -> dict[int, tuple[Any, ...]]:
        """Return what Redis holds: by id, seconds after noon, and the features."""
        found = {}
        for key in self.client.scan_iter(match=f"{PREFIX}:orders:{{*}}", count=10_000):
            row = read_row(self.client.get(key))
            number = int(key.partition(b"{")[2].rstrip(b"}"))
            found[number] = ((row.event_timestamp - NOON).total_seconds(), *row.values[: len(self.features)])
        return found

    def start(self, source: str, *arguments: str, view: str = "orders", **environment: str) -> StreamProcess:
        """Start `feature-sync stream VIEW`."""
        return StreamProcess(self, [view, *arguments, *(("--from", source) if source else ())], environment)

    def stream(
        self, source: str, *arguments: str, view: str = "orders", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `feature-sync stream VIEW --until-end`."""
        return self.start(source, "--until-end", *arguments, view=view, **environment).done()


class StreamProcess:
    """The command in a process of its own."""

    def __init__(self, orders: StreamedOrders, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._orders = orders
        self.process = subprocess.Popen(
            [sys.executable, "-m", "feature_sync", "stream", *arguments],
            cwd=orders.folder,
            env={**os.environ, "FEATURE_SYNC_REDIS_URL": orders.redis_url, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_rows(self, expected: Mapping[int, tuple[Any, ...]]) -> None:
        """Wait until Redis holds exactly these rows."""
        give_up = monotonic() + _SECONDS
        while (found := self._orders.rows()) != expected and monotonic() < give_up and self.process.poll() is None:
            sleep(0.02)
        if found != expected:
            self.process.kill()
            raise AssertionError(f"{found} instead of {expected}\n{self.process.communicate()[1]}")

    def wait_for_text(self, text: str) -> str:
        """Read stderr up to a line with a text."""
        lines = []
        while line := self.process.stderr.readline():
            lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"no {text!r} in {''.join(lines)}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it; returns its exit code."""
        self.process.send_signal(number)
        return self.done().returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def done(self) -> subprocess.CompletedProcess[str]:
        """Wait for its end."""
        try:
            output, errors = self.process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output, errors = self.process.communicate()
        return subprocess.CompletedProcess(self.process.args, self.process.returncode, output, errors)
