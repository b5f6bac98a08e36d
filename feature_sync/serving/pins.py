"""Checks that a service still has the shape on which a model was trained."""

from __future__ import annotations

import warnings

from feature_sync.errors import RequestError
from feature_sync.service_schema import Pin, read_pin
from feature_sync.service_schema.pin import PinSource
from feature_sync.serving.card import Card

_ON_DRIFT = ("raise", "warn")
_LISTED = 5


class DriftWarning(UserWarning):
    """A service differs from what a model was trained on."""


class PinMismatch(RequestError):
    """A service no longer has the shape on which a model was trained; `differences` tells what changed."""

    def __init__(self, service: str, differences: list[str]) -> None:
        shown = "; ".join(differences[:_LISTED]) + ("; ..." if len(differences) > _LISTED else "")
        super().__init__(f"{service} no longer has the shape that the model was trained on: {shown}")
        self.differences = differences


class PinGuard:
    """Compares cards with a pin, each card once."""

    def __init__(self, pin: PinSource | None, on_drift: str) -> None:
        """Read the pin.

        Args:
            pin: The pin of the model; None to check nothing.
            on_drift: `"raise"` or `"warn"`.

        Raises:
            RequestError: The pin cannot be read, or `on_drift` makes no sense.
        """
        check_on_drift(on_drift)
        self._pin = None if pin is None else read_pin(pin)
        self._warns = on_drift == "warn"
        self._checked: tuple[Pin, Card] | None = None

    def check(self, card: Card, pin: PinSource | None = None) -> None:
        """Compare a card with the pin, or with another one.

        Raises:
            PinMismatch: The shapes differ, and drift is not only warned of.
            RequestError: The other pin cannot be read, or is of another service.
        """
        pinned = self._pin if pin is None else read_pin(pin)
        if pinned is None or (self._checked is not None and self._checked[0] == pinned and self._checked[1] is card):
            return
        if pinned.service != card.service:
            raise RequestError(f"the pin is of the service {pinned.service!r}, and this client reads {card.service!r}")
        compare(pinned, card.pin, warns=self._warns, stacklevel=5)
        self._checked = pinned, card


def check_on_drift(on_drift: str) -> None:
    """Raise RequestError unless `on_drift` is `"raise"` or `"warn"`."""
    if on_drift not in _ON_DRIFT:
        raise RequestError(f'on_drift is "raise" or "warn", and not {on_drift!r}')


def compare(trained: Pin, now: Pin, *, warns: bool, stacklevel: int = 3) -> None:
    """Compare what a model was trained on with the service as it is now; warn if only its logic is another.

    Args:
        trained: The pin of the model.
        now: The pin of the service.
        warns: Only warn of another shape, too.
        stacklevel: Of warnings, as for `warnings.warn`.

    Raises:
        PinMismatch: The shapes differ, and drift is not only warned of.
    """
    if differences := trained.differences(now):
        mismatch = PinMismatch(now.service, differences)
        if not warns:
            raise mismatch
        warnings.warn(str(mismatch), DriftWarning, stacklevel=stacklevel)
    elif trained.logic and now.logic and trained.logic != now.logic:
        warnings.warn(
            f"{now.service} is computed by other SQL than the model was trained on (logic {trained.logic}, now "
            f"{now.logic})",
            DriftWarning,
            stacklevel=stacklevel,
        )
