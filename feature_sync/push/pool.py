"""Places that the pushes of one command use in turn, since opening one takes longer than pushing a small view."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, Timer

from feature_sync.warehouses.base import never
from feature_sync.warehouses.places import Places

_SECONDS_AT_REST = 0.1
"""How long a warehouse may rest before it is closed: an open DuckDB file locks out other processes."""


class PlacesPool:
    """Opens places, lends each to one push at a time, and closes idle ones after a moment."""

    def __init__(self, open_places: Callable[..., Places]) -> None:
        """Open nothing yet.

        Args:
            open_places: Connects to the warehouses; takes `stopped`, which ends a wait for it by returning True.
        """
        self._open = open_places
        self._resting: list[Places] = []
        self._lock = Lock()
        self._timer: Timer | None = None

    @contextmanager
    def lend(self, *, stopped: Callable[[], bool] = never) -> Iterator[Places]:
        """Lend places that rest, or new ones; those in which an error occurred are closed.

        Args:
            stopped: Ends the waiting for a warehouse that is not free by returning True.

        Raises:
            WarehouseError: The warehouse cannot be reached.
        """
        with self._lock:
            self._stop_timer()
            places = self._resting.pop() if self._resting else None
        lent = self._open(stopped=stopped) if places is None else places
        try:
            yield lent
        except BaseException:
            lent.close()
            raise
        with self._lock:
            self._resting.append(lent)
            self._stop_timer()
            self._timer = Timer(_SECONDS_AT_REST, self.close)
            self._timer.daemon = True
            self._timer.start()

    def close(self) -> None:
        """Close all places that rest."""
        with self._lock:
            while self._resting:
                self._resting.pop().close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
