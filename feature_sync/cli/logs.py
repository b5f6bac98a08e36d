"""Logs on stderr: one line for each event, as text or as JSON."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from feature_sync.printable import printable

FORMATS = ("text", "json")
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def start_logging(log_format: str | None) -> None:
    """Write the package's log to stderr in one of the `FORMATS`; None leaves logging off."""
    if log_format is None:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    logger = logging.getLogger("feature_sync")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


class _Json(logging.Formatter):
    """One JSON object on a line: time, level, event, and the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {"time": _time(record), "level": record.levelname.lower(), "event": record.getMessage()}
        return json.dumps(fields | _extra(record), default=str, ensure_ascii=False)


class _Text(logging.Formatter):
    """One line of text: time, level, event, and the event's fields as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={value}" for name, value in _extra(record).items())
        return printable(f"{_time(record)} {record.levelname.lower()} {record.getMessage()} {fields}".rstrip())


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _USUAL}
