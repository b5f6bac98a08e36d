"""Dead letters in a file: a line of JSON for each, on disk before the stream goes on."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from feature_sync.files import writing
from feature_sync.stream.messages import DeadLetter
from feature_sync.stream.source import DeadLetters


class DeadLetterFile(DeadLetters):
    """Appends to a file that only its owner can read, since messages may hold personal data."""

    def __init__(self, path: Path) -> None:
        self.where, self._path = str(path), path

    def bury(self, topic: str, letters: Sequence[DeadLetter]) -> None:
        """See `DeadLetters`; an `OutputError` says why the file cannot be written."""
        lines = b"".join(dead_letter_json(topic, each) + b"\n" for each in letters)
        with writing(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                while lines:
                    lines = lines[os.write(file, lines) :]
                os.fsync(file)
            finally:
                os.close(file)

    def close(self) -> None:
        """See `DeadLetters`; the file is open only while it is written."""


def dead_letter_json(topic: str, letter: DeadLetter) -> bytes:
    """Write a dead letter as JSON; keys and values that are not UTF-8 stand in Base64."""
    message = letter.message
    fields: dict[str, object] = {
        "reason": letter.reason,
        "topic": topic,
        "partition": message.partition,
        "offset": message.offset,
        "timestamp": message.timestamp,
    }
    for name, content in (("key", message.key), ("value", message.value)):
        try:
            fields[name] = None if content is None else content.decode()
        except UnicodeDecodeError:
            fields[f"{name}_base64"] = base64.b64encode(content or b"").decode()
    return msgspec.json.encode(fields)
