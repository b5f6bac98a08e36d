"""Writes YAML line by line, as it is written by hand: a key, its value, and a comment beside it with the reason."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

WIDTH = 120
_PLAIN = re.compile(r"[A-Za-z_]\w*")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The indentation of values below a key, in spaces: `step` for mappings, `dash` for lists."""

    step: int = 2
    dash: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A key with a value (YAML text), a list of names, or lines below it; without a key, a comment alone."""

    key: str = ""
    value: str = ""
    names: tuple[str, ...] = ()
    below: tuple[Line, ...] = ()
    comment: str = ""


def write_lines(lines: Iterable[Line], *, indent: int = 0, layout: Layout | None = None) -> Iterator[str]:
    """Yield lines without line ends; a comment that does not fit beside its line goes above it.

    Args:
        lines: What to write.
        indent: How many spaces to put before each line.
        layout: How the file indents; two spaces by default.
    """
    layout, margin = layout or Layout(), " " * indent
    for line in lines:
        if not line.key:
            yield f"{margin}# {line.comment}"
            continue
        key = f"{margin}{write_name(line.key)}:"
        written = f"{key} {line.value or write_names(line.names)}".rstrip()
        names = line.names if len(written) > WIDTH else ()
        written = key if names else written
        if line.comment and len(written) + len(line.comment) + 4 > WIDTH:
            yield f"{margin}# {line.comment}"
            yield written
        else:
            yield f"{written}  # {line.comment}" if line.comment else written
        yield from (f"{margin}{' ' * layout.dash}- {write_name(name)}" for name in names)
        yield from write_lines(line.below, indent=indent + layout.step, layout=layout)


def write_name(name: str) -> str:
    """Return a name, in quotes if YAML would read it as something else than this text.

    >>> write_name("carrier"), write_name("on")
    ('carrier', '"on"')
    """
    plain = _PLAIN.fullmatch(name) and name.lower() not in _WORDS
    return name if plain else json.dumps(name, ensure_ascii=False)


def write_names(names: tuple[str, ...]) -> str:
    """Return a list of names on one line; an empty text for none."""
    return f"[{', '.join(map(write_name, names))}]" if names else ""


def write_keys(names: tuple[str, ...]) -> str:
    """Return join keys as definitions write them: one as a name, several as a list."""
    return write_name(names[0]) if len(names) == 1 else write_names(names)
