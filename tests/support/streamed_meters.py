"""A project of meters whose readings stream: messages reach Redis first, and the warehouse when the test lands them."""

from __future__ import annotations

import json
from datetime import UTC, timedelta
from typing import Any

from feature_sync.online.base import OnlineView
from feature_sync.online.streams import Streamed, StreamedRow, StreamWriter
from feature_sync.value_types import to_microseconds
from tests.support.meters import NOON, Meters
from tests.support.projects import PROJECTS, BuiltProject, build_project

VIEW, TOPIC = "latest_readings", "readings"
OF_STREAMS = ("hget", "hdel", "hkeys", "hscan", "hlen")
"""The commands of Redis that only a push, or the status, of a view with a stream sends."""


class StreamedMeters(Meters):
    """The project in one warehouse, one Redis, and the readings that were sent."""

    @property
    def online(self) -> OnlineView:
        return self.store.connections.online().view(VIEW)

    def reset(self) -> None:
        """Let no push have been, no reading, and no build."""
        super().reset()
        self.run(
            f"create table if not exists {{s}}.{VIEW}__watermark "
            f"(topic {self.text_type}, topic_partition bigint, next_offset bigint, state {self.text_type})",
            f"delete from {{s}}.{VIEW}__watermark",
        )

    def has_seen(self, **first: int) -> None:
        """Record that the rows of the view have seen the messages below these offsets: p0=3 is 3 in partition 0."""
        rows = [f"('{TOPIC}', {name[1:]}, {offset}, 'valid')" for name, offset in first.items()]
        self.run(
            f"delete from {{s}}.{VIEW}__watermark", f"insert into {{s}}.{VIEW}__watermark values {', '.join(rows)}"
        )

    def writer(self) -> StreamWriter:
        """A writer of the stream, which must be closed."""
        return self.online.stream_writer(TOPIC)

    def rows(self, *readings: tuple[str, float, float | None, int, int]) -> list[StreamedRow]:
        """Encode readings: meter, minutes after noon, kWh (None deletes), partition and offset."""
        schema = next(reversed([*self.online.schemas().values()]))
        encoder = self.online.stream_encoder(schema)
        return [row for reading in readings for row in encoder.encode(**_columns(*reading))]

    def stream(self, *readings: tuple[str, float, float | None, int, int]) -> Streamed:
        """Write readings to Redis as a stream does."""
        writer = self.writer()
        try:
            return writer.write(self.rows(*readings))
        finally:
            writer.close()

    def held(self) -> dict[str, float]:
        """The kWh by meter that a reader of Redis finds."""
        keys = [key for keys in self.online.row_keys() for key in keys]
        meters = sorted({key.decode().split("{")[1][:-1] for key in keys})
        return {meter: self.value(meter)[0] for meter in meters}

    def unstream(self, stream: dict[str, Any] | None) -> None:
        """Change the block `stream` of the view, or take it away, as dbt would write it; opens the store anew."""
        path = self.project.folder / "target" / "manifest.json"
        manifest = json.loads(path.read_text())
        (node,) = (each for each in manifest["nodes"].values() if each["name"] == VIEW)
        node["config"]["meta"]["feature_view"]["stream"] = stream
        path.write_text(json.dumps(manifest))
        self.reopen()


def _columns(meter: str, minutes: float, kwh: float | None, partition: int, offset: int) -> dict[str, Any]:
    moment = (NOON + timedelta(minutes=minutes)).replace(tzinfo=UTC)
    values = None if kwh is None else [[kwh], ["streamed"]]
    return {
        "keys": [[meter]],
        "event_timestamps": [to_microseconds(moment)],
        "values": values,
        "partitions": [partition],
        "offsets": [offset],
    }


def build_streamed_meters(folder, target: str, environment: dict[str, str]) -> BuiltProject:
    return build_project(PROJECTS / "streams", folder, target=target, environment=environment)
