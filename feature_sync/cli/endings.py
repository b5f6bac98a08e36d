"""Signal handling: a signal ends a command cleanly, with one line on stderr and the shell's exit code, 128 + signal."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, NoReturn

import click

from feature_sync.option_words import for_the_command_line

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
_BEYOND_SIGNALS = 128
_received: list[signal.Signals] = []


class Interrupted(KeyboardInterrupt):
    """Raised by a signal; a subclass, since after a plain KeyboardInterrupt Python may still end itself by SIGINT."""


class EndsInOrder(click.Group):
    """A group whose commands SIGTERM and SIGHUP end as Ctrl-C does: connections close, partial files are removed."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; after a signal, errors raised while it unwinds are not reported."""
        _received.clear()
        for name in _SIGNALS:
            _listen(name)
        try:
            with for_the_command_line():
                return super().invoke(ctx)
        except (KeyboardInterrupt, Exception):
            if not _received:
                raise
            word = "interrupted" if _received[0] == signal.SIGINT else f"ended by {_received[0].name}"
            click.echo(f"Error: {word}", err=True)
            ctx.exit(_BEYOND_SIGNALS + _received[0])


def _listen(name: str) -> None:
    """Let a signal interrupt the main thread, unless the parent process set it to be ignored (as nohup does)."""
    number = getattr(signal, name, None)  # Windows has no SIGHUP
    if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
        signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    _received.append(signal.Signals(number))
    raise Interrupted
