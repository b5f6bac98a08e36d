"""Time zones: the names that every warehouse reads as IANA defines them."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

_AS_IANA_WRITES = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
_OF_ONE_MACHINE = ("Factory", "localtime", "posix", "posixrules", "right")
"""Files and folders beside the zones in the database, which vary from machine to machine."""
_ABBREVIATIONS = {
    "CET": "Europe/Brussels",
    "EET": "Europe/Athens",
    "MET": "Europe/Brussels",
    "WET": "Europe/Lisbon",
}
"""Zones with a summer time whose names PostgreSQL reads as abbreviations of their winter time first."""


def check_zone(name: str) -> None:
    """Check the name of a time zone.

    Raises:
        ValueError: The zone does not exist, or a warehouse reads its name differently; the error says what to write.
    """
    if name in _ABBREVIATIONS:
        raise ValueError(
            f"{name!r} is winter time all year to PostgreSQL, which reads it as an abbreviation; "
            f"write {_ABBREVIATIONS[name]}"
        )
    unknown = f"{name!r} is not a time zone; write one such as Europe/Paris"
    if not _AS_IANA_WRITES.fullmatch(name) or name.partition("/")[0] in _OF_ONE_MACHINE:
        raise ValueError(unknown)
    try:
        ZoneInfo(name)
    except (LookupError, OSError, ValueError) as missing:  # OSError: a folder such as America, a name too long
        raise ValueError(unknown) from missing
