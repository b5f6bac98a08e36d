"""Durations in the notation of the project's YAML, such as `30d`."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"([0-9]+)\s*([smhdw])")


def parse_duration(text: str) -> timedelta:
    """Parse a duration such as `90m`: a whole number and one of the units s, m, h, d, w.

    Raises:
        ValueError: The text has another form, or is too long for a timedelta.

    >>> parse_duration("90m")
    datetime.timedelta(seconds=5400)
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write a whole number and a unit (s, m, h, d or w), such as 30d")
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError as overflow:
        raise ValueError(f"{text!r} is longer than any history") from overflow


def format_duration(duration: timedelta) -> str:
    """Return a duration in the largest unit of d, h, m and s that divides it; fractions of a second are cut off.

    >>> format_duration(timedelta(hours=48))
    '2d'
    """
    seconds = duration // timedelta(seconds=1)
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
