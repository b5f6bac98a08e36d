"""The contract of a source of messages: a topic of Kafka, or a stream of Redis; a new one is a file beside these."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from feature_sync.stream.messages import DeadLetter, Message

Positions = Mapping[int, int]
"""By partition, the offset of the next message to read; one that is not named is read from its beginning."""


class Source(ABC):
    """Reads the messages of one topic, in each partition in the order of their offsets, from where it is told.

    Several processes may share a topic, each with some of its partitions; those of a process may change in any `poll`.

    Raises:
        StreamError: From every method but `close`: the topic cannot be read, or no longer from where it must be.
    """

    topic: str
    where: str
    """The topic with its brokers, for messages: without secrets."""

    @abstractmethod
    def start(self, positions_of: Callable[[], Positions]) -> None:
        """Begin to read.

        Args:
            positions_of: Asked for the positions whenever partitions are assigned to this process, in `poll`.
        """

    @abstractmethod
    def poll(self, most: int, seconds: float) -> list[Message]:
        """Return the next messages, up to `most`; wait for the first of them, up to so many seconds."""

    @abstractmethod
    def seek(self, positions: Positions) -> None:
        """Go on from other positions, in the partitions of this process."""

    @abstractmethod
    def commit(self, positions: Positions) -> None:
        """Note how far this process has come, where others can see it; nothing reads from there."""

    @abstractmethod
    def lags(self, positions: Positions) -> Mapping[int, int]:
        """Return for each partition of this process how many messages it has beyond the positions, at most."""

    @property
    @abstractmethod
    def is_at_end(self) -> bool:
        """True if this process has partitions, and has polled all that they held."""

    @abstractmethod
    def close(self) -> None:
        """Give back the partitions and close all connections."""


class DeadLetters(ABC):
    """Where messages go that cannot be rows."""

    where: str
    """The topic or the file, for messages."""

    @abstractmethod
    def bury(self, topic: str, letters: Sequence[DeadLetter]) -> None:
        """Store messages durably before it returns.

        Raises:
            StreamError: They cannot be stored.
        """

    @abstractmethod
    def close(self) -> None:
        """Close all connections."""
