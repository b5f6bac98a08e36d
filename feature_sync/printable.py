"""Texts for people: what would steer a terminal, end a line or turn the direction of writing is shown by its number."""

from __future__ import annotations

import re

_STEERING = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")
_LAST_OF_TWO_DIGITS = 0xFF
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def printable(text: str) -> str:
    r"""Write a text so that a terminal shows all of it, on one line.

    >>> printable("a\\x1b[2J\\nb")
    'a\\\\x1b[2J\\\\nb'
    """
    return _STEERING.sub(lambda found: _SHORT.get(found[0]) or _number(ord(found[0])), text)


def _number(letter: int) -> str:
    return f"\\x{letter:02x}" if letter <= _LAST_OF_TWO_DIGITS else f"\\u{letter:04x}"
