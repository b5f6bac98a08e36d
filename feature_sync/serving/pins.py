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
        if on_drift not in _ON_DRIFT:
            raise RequestError(f'on_drift is "raise" or "warn", and not {on_drift!r}')
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
        if differences := pinned.differences(card.pin):
            mismatch = PinMismatch(card.service, differences)
            if not self._warns:
                raise mismatch
            warnings.warn(str(mismatch), DriftWarning, stacklevel=4)
        elif pinned.logic and card.logic and pinned.logic != card.logic:
            warnings.warn(
                f"{card.service} is computed by other SQL than the model was trained on (logic {pinned.logic}, now "
                f"{card.logic})",
                DriftWarning,
                stacklevel=4,
            )
        self._checked = pinned, card
