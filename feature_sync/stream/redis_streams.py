"""Reads a stream of Redis as a topic of one partition, whose offsets are the ids of its entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from feature_sync.online.redis.stream_entries import EntryId, Fields, StreamEntries
from feature_sync.stream.messages import DeadLetter, Message, StreamError
from feature_sync.stream.source import DeadLetters, Positions, Source

NUMBER_BITS = 20
"""Of an offset: the lowest hold the number among the entries of a millisecond, those above it the milliseconds."""
_PARTITION = 0


def offset_of(entry: EntryId) -> int:
    """Return the offset of an entry; the order of offsets is that of ids.

    >>> offset_of((1_700_000_000_000, 2)) == 1_700_000_000_000 * 2**20 + 2
    True
    """
    milliseconds, number = entry
    if number >= 1 << NUMBER_BITS or milliseconds >= 1 << (63 - NUMBER_BITS):
        raise StreamError(
            f"the id {milliseconds}-{number} is too large: let Redis choose ids (XADD with *), or keep the number "
            f"below {1 << NUMBER_BITS}"
        )
    return (milliseconds << NUMBER_BITS) | number


def entry_of(offset: int) -> EntryId:
    """Return the id that has an offset."""
    return offset >> NUMBER_BITS, offset & ((1 << NUMBER_BITS) - 1)


class RedisStreamSource(Source):
    """One stream of Redis: its entries have the fields `value`, and `key` where the stream of the view reads it."""

    def __init__(self, entries: StreamEntries, topic: str) -> None:
        self.topic, self.where = topic, entries.where
        self._entries = entries
        self._next, self._ended = 0, False

    def start(self, positions_of: Callable[[], Positions]) -> None:
        """See `Source`."""
        self.seek(positions_of())

    def poll(self, most: int, seconds: float) -> list[Message]:
        """See `Source`."""
        found = self._entries.read(entry_of(max(0, self._next - 1)), most=most, seconds=seconds)
        messages = [_message(entry, fields) for entry, fields in found]
        self._ended = not messages
        if messages:
            self._next = messages[-1].offset + 1
        return messages

    @property
    def is_at_end(self) -> bool:
        """See `Source`."""
        return self._ended

    def seek(self, positions: Positions) -> None:
        """See `Source`."""
        self._next, self._ended = positions.get(_PARTITION, 0), False
        self._check(self._next, is_seen=_PARTITION in positions)

    def commit(self, positions: Positions) -> None:
        """See `Source`: a stream of Redis has no place for it but groups, which would keep every unread entry."""

    def lags(self, positions: Positions) -> Mapping[int, int]:
        """See `Source`; entries cannot be counted from an id on, so that a lag is 0, or all that the stream holds."""
        bounds = self._entries.bounds()
        is_behind = bounds is not None and offset_of(bounds.last) >= positions.get(_PARTITION, 0)
        return {_PARTITION: bounds.length if bounds is not None and is_behind else 0}

    def close(self) -> None:
        """See `Source`."""
        self._entries.close()

    def _check(self, position: int, *, is_seen: bool) -> None:
        """Check that the stream still has what must be read next: whether a trimmed entry was read, its id cannot say.

        A stream of which nothing was seen yet is read from its beginning, wherever that is now.

        Raises:
            StreamError: It may lack entries, or is another stream.
        """
        bounds = self._entries.bounds()
        if bounds is None:
            raise StreamError(
                f"Redis has no stream {self.where}: producers make it with XADD; see stream.topic, and --from"
            )
        if position > offset_of(bounds.last) + 1:
            raise StreamError(
                f"the stream {self.where} ends at {_text(bounds.last)}, but it was read up to "
                f"{_text(entry_of(position - 1))}: it was made anew. Land it under another name, build and push, and "
                "stream that"
            )
        if (
            is_seen
            and bounds.removed
            and (bounds.first is None or offset_of(bounds.first) >= position)
            and (position <= offset_of(bounds.last))
        ):
            begins = "is empty" if bounds.first is None else f"begins at {_text(bounds.first)}"
            raise StreamError(
                f"the stream {self.where} {begins}, but the newest push has seen it only up to "
                f"{_text(entry_of(max(0, position - 1)))}: entries between were trimmed, or may have been. If the "
                "warehouse has landed them, build and push, and start the stream again. Trim less: keep the newest "
                "entry that was pushed"
            )


class RedisDeadLetters(DeadLetters):
    """Appends dead letters to a stream of Redis: the fields of the message, and the reason."""

    def __init__(self, entries: StreamEntries) -> None:
        self.where, self._entries = entries.where, entries

    def bury(self, topic: str, letters: Sequence[DeadLetter]) -> None:
        """See `DeadLetters`; an `OnlineStoreError` says why Redis does not take them."""
        self._entries.add([_fields(topic, each) for each in letters])

    def close(self) -> None:
        """See `DeadLetters`."""
        self._entries.close()


def _fields(topic: str, letter: DeadLetter) -> Fields:
    message = letter.message
    named = {b"key": message.key, b"value": message.value}
    return {
        **{name: content for name, content in named.items() if content is not None},
        b"reason": letter.reason.encode(errors="replace"),
        b"topic": topic.encode(),
        b"id": _text(entry_of(message.offset)).encode(),
    }


def _message(entry: EntryId, fields: Fields) -> Message:
    """Read an entry. One with a key alone deletes; one without `value` is the document of its fields, all texts."""
    value = fields.get(b"value")
    if value is None and fields.keys() != {b"key"}:
        texts = {name.decode(errors="replace"): each.decode(errors="replace") for name, each in fields.items()}
        value = msgspec.json.encode(texts)
    return Message(_PARTITION, offset_of(entry), entry[0], fields.get(b"key"), value)


def _text(entry: EntryId) -> str:
    return f"{entry[0]}-{entry[1]}"
