"""Escapes text for terminals: control characters, line ends and marks of writing direction become escape sequences."""

from __future__ import annotations

import re

_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")
_LAST_OF_TWO_DIGITS = 0xFF
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def printable(text: str) -> str:
    r"""Return a text in which a terminal shows every character, on one line.

    >>> printable("a\\x1b[2J\\nb")
    'a\\\\x1b[2J\\\\nb'
    """
    return _CONTROL.sub(lambda found: _SHORT.get(found[0]) or _escaped(ord(found[0])), text)


def _escaped(code_point: int) -> str:
    return f"\\x{code_point:02x}" if code_point <= _LAST_OF_TWO_DIGITS else f"\\u{code_point:04x}"
