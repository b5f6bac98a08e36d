"""The code of nodes and macros in dbt's manifest: all fields are optional, and unknown ones are ignored."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any

import msgspec

from feature_sync.dbt.node import DependsOn, Text

_HASH = re.compile(r"[0-9a-fA-F]{32,128}")
_JINJA = re.compile(r"\{[{%](.*?)[}%]\}", re.DOTALL)
_CALL = re.compile(r"(?:\b(\w+)\s*\.\s*)?\b(\w+)\s*\(")
_WITHHELD = "--placeholder--"
"""What dbt v2 writes instead of code."""


class Uses(DependsOn):
    """The nodes that some code reads from, and the macros that it calls."""

    macros: list[str | None] | None = None


class Checksum(msgspec.Struct):
    """A checksum of dbt, and the name of its algorithm: `path` if the value is a path instead."""

    name: Text = None
    checksum: Text = None


class SnapshotSettings(msgspec.Struct, omit_defaults=True):
    """What decides which rows a snapshot writes; other nodes have keys of these names, too."""

    strategy: Any = None
    unique_key: Any = None
    updated_at: Any = None
    check_cols: Any = None
    hard_deletes: Any = None
    invalidate_hard_deletes: Any = None
    dbt_valid_to_current: Any = None


class Code(msgspec.Struct):
    """A model, seed, snapshot, function or macro, as its code."""

    resource_type: Text = None
    checksum: Checksum | str | None = None
    raw_code: Text = None
    macro_sql: Text = None
    config: SnapshotSettings | None = None
    depends_on: Uses | None = None

    @property
    def parents(self) -> list[str]:
        """The unique ids of the nodes that it reads from."""
        return (self.depends_on and self.depends_on.nodes) or []

    @property
    def macros(self) -> list[str]:
        """The unique ids of the macros that dbt saw it call, for the target of the manifest."""
        return [each for each in (self.depends_on and self.depends_on.macros) or [] if each]

    @property
    def digest(self) -> str | None:
        """The checksum of dbt, or else the SHA-256 of the code, which is the same for a model; None without either.

        A snapshot counts by its code and settings: its checksum is that of a whole file, of YAML with descriptions.
        """
        if self.resource_type == "snapshot" and (code := self._code or self._checksum):
            settings = msgspec.json.encode(self.config or SnapshotSettings(), order="deterministic")
            return _sha256(f"{code}\n{settings.decode()}")
        return self._checksum or (_sha256(self._code) if self._code else None)

    @property
    def _code(self) -> str:
        code = self.macro_sql or self.raw_code or ""
        return "" if code == _WITHHELD else code

    @property
    def _checksum(self) -> str | None:
        """The checksum; None if it is a path, as that of a seed of more than 1 MB."""
        found = self.checksum.checksum if isinstance(self.checksum, Checksum) else self.checksum
        return found if found and _HASH.fullmatch(found) else None

    def calls(self) -> set[tuple[str, str]]:
        """Return the package, empty if not named, and the name of each function that its Jinja calls.

        `macros` lacks those of a node in branches that dbt does not render when it parses: of `is_incremental()`, and
        of another target. With dbt v2 it is empty for macros.
        """
        return {call for jinja in set(_JINJA.findall(self._code)) for call in _CALL.findall(jinja)}


def _sha256(text: str) -> str:
    return sha256(text.encode()).hexdigest()
