"""How a command is ended from outside: in order, with one line, and the exit code that shells know."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, NoReturn

import click

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
_BEYOND_SIGNALS = 128
_received: list[signal.Signals] = []


class Interrupted(KeyboardInterrupt):
    """A signal came. A plain KeyboardInterrupt that was caught may still make Python end by SIGINT at last."""


class EndsInOrder(click.Group):
    """Commands that a signal ends as Ctrl-C does: whatever is open is closed, and what is half written goes."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; after a signal, whatever it fails with in its haste is not told."""
        _received.clear()
        for name in _SIGNALS:
            _listen(name)
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, Exception):
            if not _received:
                raise
            word = "interrupted" if _received[0] == signal.SIGINT else f"ended by {_received[0].name}"
            click.echo(f"Error: {word}", err=True)
            ctx.exit(_BEYOND_SIGNALS + _received[0])


def _listen(name: str) -> None:
    """Let a signal interrupt the main thread, unless whoever started this process wants it to be ignored."""
    number = getattr(signal, name, None)  # Windows has no SIGHUP
    if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
        signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    _received.append(signal.Signals(number))
    raise Interrupted
