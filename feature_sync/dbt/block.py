"""A block of our YAML, as dbt merged it: read key by key; a misspelt YAML key is an error with a suggestion."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from feature_sync.definitions import parse_duration
from feature_sync.errors import Findings, Location, did_you_mean


class Block:
    """A YAML mapping with its location; a key that it lacks is looked up in its `defaults`.

    Raises:
        DefinitionError: From every method, if the value is not of the type that the method reads.
    """

    def __init__(
        self,
        values: object,
        location: Location,
        *,
        allowed: tuple[str, ...],
        findings: Findings,
        defaults: Block | None = None,
        duplicate_hint: str = "",
    ) -> None:
        """Check the YAML keys of a block.

        Args:
            values: The block, which must be a mapping.
            location: Its location.
            allowed: The YAML keys that it may have; others are noted as mistakes.
            findings: Receives the mistakes.
            defaults: The block that holds the values of keys that this one lacks.
            duplicate_hint: End of the message about a name listed twice, which dbt's merging may cause.
        """
        self.location = location
        self._duplicate_hint = duplicate_hint
        self._defaults = defaults
        if not isinstance(values, Mapping):
            raise location.error(f"must be a mapping, not {values!r}")
        self.own: Mapping[str, Any] = values
        self.values: Mapping[str, Any] = {**(defaults.values if defaults else {}), **values}
        for key in values:
            if key not in allowed:
                findings.note(location.at(str(key)).mistake(f"unknown key{did_you_mean(str(key), allowed)}"))

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def at(self, key: str) -> Location:
        """Return the location of a YAML key: in this block, unless only the defaults have it."""
        if self._defaults is not None and key not in self.own and key in self._defaults.own:
            return self._defaults.at(key)
        return self.location.at(key)

    def text(self, key: str) -> str | None:
        """Read a text, such as the name of a column; None if the key is absent or the text empty."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            raise self.at(key).error(f"must be a text, not {value!r}")
        return value or None

    def flag(self, key: str, *, default: bool) -> bool:
        """Read true or false; the default if the key is absent."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.at(key).error(f"must be true or false, not {value!r}")
        return value

    def duration(self, key: str) -> timedelta | None:
        """Read a duration such as `30d`; `none` and an absent key are both None."""
        value = self.values.get(key)
        if value is None or value == "none":
            return None
        try:
            return parse_duration(str(value))
        except ValueError as wrong:
            raise self.at(key).error(str(wrong)) from wrong

    def names(self, key: str) -> tuple[str, ...] | None:
        """Read a list of names, or one name alone; None if the key is absent."""
        value = self.values.get(key)
        return None if value is None else name_list(value, self.at(key), self._duplicate_hint)

    def named_names(self, key: str) -> dict[str, tuple[str, ...]]:
        """Read a mapping from names to a name or a list of names; empty if the key is absent."""
        value = self.values.get(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self.at(key).error(f"must be a mapping, not {value!r}")
        findings = Findings()
        names = {
            str(name): findings.attempt((), name_list, each, self.at(key).at(str(name)), self._duplicate_hint)
            for name, each in value.items()
        }
        findings.raise_errors()
        return names


def name_list(value: object, location: Location, duplicate_hint: str = "") -> tuple[str, ...]:
    """Read a name or a list of unique names.

    Args:
        value: The YAML value.
        location: Its location.
        duplicate_hint: End of the message about a name listed twice.

    Raises:
        DefinitionError: The value is something else, an empty list, or lists a name twice.
    """
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(each, str) and each for each in names):
        raise location.error(f"must be a name or a list of names, not {value!r}")
    if len(set(names)) < len(names):
        raise location.error(f"lists a name twice: {', '.join(names)}{duplicate_hint}")
    return tuple(names)
