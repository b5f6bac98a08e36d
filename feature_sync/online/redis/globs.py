"""Patterns in which Redis reads a text literally, for SCAN and for the rules of users."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"([\\*?\[\]])")


def literal(text: str) -> str:
    r"""Escape what Redis would read as a glob.

    >>> print(literal("what[1]*"))
    what\[1\]\*
    """
    return _SPECIAL.sub(r"\\\1", text)
