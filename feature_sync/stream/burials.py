"""Decides what becomes of messages that cannot be rows: each is buried once, and a wrong topic ends the stream."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from feature_sync.stream.messages import DeadLetter, StreamError
from feature_sync.stream.source import DeadLetters, Source

_LOG = logging.getLogger(__name__)
_MOST_AT_FIRST = 100


class Burials:
    """The dead letters of one run of a stream."""

    def __init__(self, source: Source, place: DeadLetters | None) -> None:
        """Begin without any.

        Args:
            source: Where messages come from.
            place: Where dead letters go; None if there is no place for them.
        """
        self._source, self._place = source, place
        self._buried: dict[int, int] = {}
        self._rows = self._count = 0

    def bury(self, letters: Sequence[DeadLetter], *, rows: int) -> int:
        """Store the dead letters of a batch that are new, since replays bring old ones again; returns how many.

        Args:
            letters: The dead letters.
            rows: How many messages of the batch are rows.

        Raises:
            StreamError: There is no place for them, they cannot be stored, or no message has been a row so far.
        """
        self._rows += rows
        new = [each for each in letters if each.message.offset > self._buried.get(each.message.partition, -1)]
        new.sort(key=lambda each: (each.message.partition, each.message.offset))
        if not new:
            return 0
        if self._rows == 0:
            new = new[: max(0, _MOST_AT_FIRST - self._count)]
        if self._place is None:
            raise StreamError(
                f"{self._named(new[0])}. Name a dead_letter_topic or a dead_letter_file in the view's stream, and the "
                "stream goes on without such messages"
            )
        self._place.bury(self._source.topic, new)
        _LOG.warning("%d dead letters in %s, such as: %s", len(new), self._place.where, self._named(new[0]))
        self._buried.update((each.message.partition, each.message.offset) for each in new)
        self._count += len(new)
        if self._rows == 0 and self._count >= _MOST_AT_FIRST:
            raise StreamError(
                f"none of the first {self._count} messages of {self._source.where} can be a row: are the topic, the "
                f"format and the columns of the view's stream right? {self._named(new[-1])}"
            )
        return len(new)

    def _named(self, letter: DeadLetter) -> str:
        message = letter.message
        return (
            f"the message at offset {message.offset} of partition {message.partition} of {self._source.where} cannot "
            f"be a row: {letter.reason}"
        )
