"""Edits dbt YAML files in place: inserts settings and keeps every other character.

A YAML writer would change quotes, indentation and spaces. Here the parser only finds positions, at which lines are
inserted. The result is read back and must hold the old content and the new settings, no more and no less.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import yaml

from feature_sync.dbt.yaml_nodes import Found, column_of, end_of, item_of, layout_of, line_end, slice_of, value_of
from feature_sync.dbt.yaml_text import UnfitYaml, load
from feature_sync.errors import OutputError, ProjectError
from feature_sync.yaml_lines import Layout, Line, write_lines, write_name

_FIRST_KEYS = ("name", "description", "relation", "latest_version", "docs", "group", "access", "v", "defined_in")
"""Keys that people write before a node's configuration."""
_PUNCTUATION = re.compile(r"[\s,:{}\[\]]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePosition:
    """The entry that takes settings: `name` below `models`, `seeds` or `snapshots`, or one version of it."""

    section: str
    name: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class _Edit:
    """A text that replaces what stands from `start` to `end`."""

    start: int
    end: int
    text: str


class _NoRoom(Exception):
    """The text cannot take the lines; the message is the reason."""


def read_entry(text: str, place: SourcePosition, *, file: str) -> dict[str, Any]:
    """Return an entry of a file; empty if there is none.

    Args:
        text: The file's text.
        place: The entry.
        file: The file's name, for the error.

    Raises:
        ProjectError: The text is not YAML that dbt could read.
    """
    try:
        return _target(load(text), place) or {}
    except (UnfitYaml, AttributeError, TypeError) as broken:
        raise ProjectError(f"{file} is no YAML that dbt could read: {' '.join(str(broken).split())}") from broken


def put_settings(text: str, place: SourcePosition, lines: Sequence[Line], *, file: str) -> str:
    """Return the text with lines put into an entry, which is added if it is missing.

    Args:
        text: The file's text.
        place: The entry.
        lines: The settings.
        file: The file's name, for the error.

    Raises:
        OutputError: The text is not YAML, or its layout cannot take the lines.
    """
    try:
        load(text)  # checks bounds first: the functions below recurse, and read numbers of any length
        whole = text if text.endswith("\n") or not text else text + _newline(text)
        wanted = _expected(text, place, lines)
        changed = _put(_unfolded(whole, place, lines), place, lines)
        found = _read_again(changed)
    except (UnfitYaml, yaml.YAMLError, AttributeError, TypeError, _NoRoom) as unfit:
        raise OutputError(_refusal(file, place, " ".join(str(unfit).split()))) from unfit
    if wanted != found:
        raise OutputError(_refusal(file, place, "something else in it would change"))
    return changed


def _read_again(changed: str) -> Any:
    try:
        return yaml.safe_load(changed)
    except yaml.YAMLError as broken:
        raise _NoRoom("it is laid out in a way in which more lines would not be understood") from broken


def _refusal(file: str, place: SourcePosition, reason: str) -> str:
    return f"{file}: {place.name} cannot be edited in place ({reason}); paste what is printed"


def _put(text: str, place: SourcePosition, lines: Sequence[Line]) -> str:
    """Put lines into an entry; nothing on the path to it is in braces or brackets any more."""
    path = list(_path(text, place))
    if any(found.is_alias for found in path):
        raise _NoRoom("an alias stands where the lines would go")
    layout = layout_of(yaml.compose(text))
    entry = path[-1] if len(path) == _depth(place) else None
    edits = list(_edits(text, entry, lines, layout) if entry else _new_entry(text, place, lines, layout))
    for edit in sorted(edits, key=lambda each: -each.start):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _edits(text: str, target: Found, lines: Sequence[Line], layout: Layout) -> Iterator[_Edit]:
    """Insert lines at the end of a mapping, or behind the first keys of an entry; existing keys take the lines below.

    Of several edits at one position the last ends up first in the text.
    """
    found = {line.key: value_of(target.node, line.key) for line in lines if line.key}
    missing = [line for line in lines if found.get(line.key) is None]
    if missing:
        at = end_of(text, _last_of_first_keys(target.node) if target.key is None else target)
        yield _insertion(text, at, write_lines(missing, indent=column_of(target.node), layout=layout))
    for line in lines:
        inner = found.get(line.key)
        if inner is None or inner.key is None:
            continue
        if inner.is_alias:
            raise _NoRoom("an alias stands where the lines would go")
        if inner.is_empty:
            indent = column_of(inner.key) + layout.step
            yield from _filled(text, inner, write_lines(line.below, indent=indent, layout=layout))
        else:
            yield from _edits(text, inner, line.below, layout)


def _new_entry(text: str, place: SourcePosition, lines: Sequence[Line], layout: Layout) -> Iterator[_Edit]:
    """Insert an entry at the end of its section, or a section at the end of the file."""
    if place.version is not None:
        raise _NoRoom(f"it has no entry for version {place.version}")
    root = yaml.compose(text)
    section = value_of(root, place.section) if root is not None else None
    dash = column_of(section.node) if section is not None and not section.is_empty else layout.dash
    name = f"{' ' * dash}- name: {write_name(place.name)}"
    written = [name, *write_lines(lines, indent=dash + 2, layout=layout)]
    if section is None:
        at = len(text) if root is None else end_of(text, Found(root))
        yield _insertion(text, at, [f"{place.section}:", *written])
    elif section.is_empty:
        yield from _filled(text, section, written)
    else:
        yield _insertion(text, end_of(text, section), written)


def _unfolded(text: str, place: SourcePosition, lines: Sequence[Line]) -> str:
    """Rewrite braces and brackets on the path to the settings as lines."""
    while folded := next((found for found in _nodes_to_edit(text, place, lines) if found.is_folded), None):
        if folded.is_alias:
            raise _NoRoom("an alias stands where the lines would go")
        text = _unfold(text, folded)
    return text


def _unfold(text: str, found: Found) -> str:
    """Rewrite one mapping or list in braces or brackets as lines, each part as it was written."""
    node = found.node
    between, at = "", node.start_mark.index
    for each in (part for item in node.value for part in (item if isinstance(item, tuple) else (item,))):
        between += text[at : each.start_mark.index]
        at = each.end_mark.index
    if not _PUNCTUATION.fullmatch(between + text[at : node.end_mark.index]):
        raise _NoRoom("a comment or an alias stands within braces")
    parts = [
        ": ".join(slice_of(text, each) for each in item).rstrip()
        if isinstance(item, tuple)
        else f"- {slice_of(text, item)}"
        for item in node.value
    ]
    if found.key is None:
        rows = f"{_newline(text)}{' ' * column_of(node)}".join(parts)
        return text[: node.start_mark.index] + rows + text[node.end_mark.index :]
    layout = layout_of(yaml.compose(text))
    distance = layout.step if isinstance(node, yaml.MappingNode) else layout.dash
    margin = " " * (column_of(found.key) + distance)
    for edit in reversed(list(_filled(text, found, [margin + part for part in parts]))):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _filled(text: str, found: Found, written: Iterator[str] | Sequence[str]) -> Iterator[_Edit]:
    """Replace a value beside its key by lines below; a comment beside it stays."""
    start, end = found.node.start_mark.index, found.node.end_mark.index
    if start < end:
        yield _Edit(len(text[:start].rstrip(" ")), end, "")
    yield _insertion(text, line_end(text, end), written)


def _nodes_to_edit(text: str, place: SourcePosition, lines: Sequence[Line]) -> Iterator[Found]:
    """Yield the nodes on the path to an entry, and those in it that take lines, as far as they exist."""
    path = list(_path(text, place))
    yield from path
    if len(path) == _depth(place):
        yield from _within(path[-1], lines)


def _within(found: Found, lines: Sequence[Line]) -> Iterator[Found]:
    for line in lines:
        inner = value_of(found.node, line.key)
        if inner is not None:
            yield inner
            yield from _within(inner, line.below)


def _depth(place: SourcePosition) -> int:
    return 3 if place.version is None else 5


def _path(text: str, place: SourcePosition) -> Iterator[Found]:
    """Yield the nodes from the top of a file to an entry, or to a version of it, as far as they exist."""
    found = Found(root) if (root := yaml.compose(text)) is not None else None
    steps = [(place.section, ""), ("name", place.name)]
    steps += [("versions", ""), ("v", place.version)] if place.version is not None else []
    for key, value in steps:
        if found is None:
            return
        yield found
        found = item_of(found.node, key, value) if value else value_of(found.node, key)
    if found is not None:
        yield found


def _last_of_first_keys(entry: Any) -> Found:
    last = entry.value[0]
    for key, value in entry.value:
        if key.value not in _FIRST_KEYS:
            break
        last = (key, value)
    return Found(last[1], last[0])


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _insertion(text: str, at: int, lines: Iterator[str] | Sequence[str]) -> _Edit:
    """Insert whole lines, with the line ends of the file."""
    return _Edit(at, at, "".join(f"{line}{_newline(text)}" for line in lines))


def _expected(text: str, place: SourcePosition, lines: Sequence[Line]) -> dict[str, Any]:
    """Return what the file must hold once it has the lines."""
    content = deepcopy(yaml.safe_load(text)) or {}
    target = _target(content, place)
    if target is None:
        target = {"name": place.name}
        content[place.section] = [*(content.get(place.section) or []), target]
    target.update(_merged(target, yaml.safe_load("\n".join(write_lines(lines)))))
    return dict(content)


def _target(content: Any, place: SourcePosition) -> dict[str, Any] | None:
    """Find an entry, or a version of it, in the content of a file."""
    entries = (content or {}).get(place.section) or []
    found = next((each for each in entries if each.get("name") == place.name), None)
    if found is None or place.version is None:
        return found
    return next((each for each in found.get("versions") or [] if str(each.get("v")) == place.version), None)


def _merged(one: Any, other: Any) -> Any:
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return other
    return {**one, **{key: _merged(one.get(key), value) for key, value in other.items()}}
