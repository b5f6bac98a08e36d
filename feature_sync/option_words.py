"""Options in messages: written as the command line has them, and told to a Python caller as keyword arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

_FLAGS = (
    "allow-breaking",
    "allow-eviction",
    "allow-removals",
    "full-refresh",
    "prune",
    "take-over",
    "wait",
    "warehouse",
)
_VALUES = (
    "as-of", "builder", "event-time", "event-timestamp", "exclude", "features", "files", "generate-passwords",
    "key-prefix", "limit", "of", "order-by", "profiles-dir", "project-dir", "pusher", "reader", "redis-timeout",
    "redis-url", "rows-per-file", "sample", "select", "since", "spine", "spine-sql", "strategy", "threads", "until",
)  # fmt: skip
_OTHERS = {
    "no-warehouse": "use_warehouse=False",
    "no-gate": "gate=False",
    "entity NAME=COLUMN": 'entities={"NAME": "COLUMN"}',
    "entity": "entities=",
    "label": "labels=",
    "service": "services=",
}
_COMMAND = r"(?:feature-sync|dbt) [a-z]+(?: [^\s,;:()]+)*"
_OPTION = rf"{_COMMAND}|--([a-z]+(?:-[a-z]+)*(?: NAME=COLUMN)?)(?![\w-])(?=(:)?)"
_KEYWORDS = {
    **{name: f"{name.replace('-', '_')}=True" for name in _FLAGS},
    **{name: f"{name.replace('-', '_')}=" for name in _VALUES},
    **_OTHERS,
}
_commands = 0


@contextmanager
def for_the_command_line() -> Iterator[None]:
    """Leave options in messages as they are while a command runs: its user types them so."""
    global _commands  # noqa: PLW0603 - a process is a command's, or a Python program's
    _commands += 1
    try:
        yield
    finally:
        _commands -= 1


def in_callers_words(message: str) -> str:
    """Write the options in a message as keyword arguments, but not those of commands to type in a shell.

    >>> in_callers_words("name another with --event-timestamp, or run feature-sync push trips --full-refresh")
    'name another with event_timestamp=, or run feature-sync push trips --full-refresh'
    """
    return message if _commands or "--" not in message else re.sub(_OPTION, _keyword, message)


def _keyword(option: re.Match[str]) -> str:
    """Return an option as a keyword argument; one that begins a message, before a colon, by its name alone."""
    if option[1] is None:
        return option[0]
    keyword = _KEYWORDS.get(option[1], option[0])
    return keyword.removesuffix("=") if option[2] else keyword
