"""Edits dbt YAML files in place: inserts settings and keeps every other character.

A YAML writer would change quotes, indentation and spaces. Here the parser only finds positions, at which lines are
inserted. The result is parsed again, and must equal the old content merged with the new settings.
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
"""YAML keys that usually precede a node's configuration."""
_PUNCTUATION = re.compile(r"[\s,:{}\[\]]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePosition:
    """The entry of a model in YAML: `name` below `models`, `seeds` or `snapshots`, or one version of it."""

    section: str
    name: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class _Edit:
    """A text that replaces the characters from `start` to `end`, the latter exclusive."""

    start: int
    end: int
    text: str


class _NoRoom(Exception):
    """The lines cannot be inserted into the text; the message is the reason."""


def read_entry(text: str, position: SourcePosition, *, file: str) -> dict[str, Any]:
    """Return an entry of a file; empty if there is none.

    Args:
        text: The file's text.
        position: The entry.
        file: The file's name, for the error.

    Raises:
        ProjectError: The text is not YAML that dbt can read.
    """
    try:
        return _target(load(text), position) or {}
    except (UnfitYaml, AttributeError, TypeError) as broken:
        raise ProjectError(f"{file} is not YAML that dbt can read: {' '.join(str(broken).split())}") from broken


def put_settings(text: str, position: SourcePosition, lines: Sequence[Line], *, file: str) -> str:
    """Return the text with lines inserted into an entry, which is added if it is missing.

    Args:
        text: The file's text.
        position: The entry.
        lines: The settings.
        file: The file's name, for the error.

    Raises:
        OutputError: The text is not YAML, or lines cannot be inserted into its layout.
    """
    try:
        load(text)  # checks bounds first: the functions below recurse, and read numbers of any length
        whole = text if text.endswith("\n") or not text else text + _newline(text)
        wanted = _expected(text, position, lines)
        changed = _put(_in_block_style(whole, position, lines), position, lines)
        found = _read_again(changed)
    except (UnfitYaml, yaml.YAMLError, AttributeError, TypeError, _NoRoom) as unfit:
        raise OutputError(_refusal(file, position, " ".join(str(unfit).split()))) from unfit
    if wanted != found:
        raise OutputError(_refusal(file, position, "something else in it would change"))
    return changed


def _read_again(changed: str) -> Any:
    try:
        return yaml.safe_load(changed)
    except yaml.YAMLError as broken:
        raise _NoRoom("its layout is such that inserted lines are not valid YAML") from broken


def _refusal(file: str, position: SourcePosition, reason: str) -> str:
    return f"{file}: {position.name} cannot be edited in place ({reason}); paste what is printed"


def _put(text: str, position: SourcePosition, lines: Sequence[Line]) -> str:
    """Insert lines into an entry; the path to it must be in block style, without braces and brackets."""
    path = list(_path(text, position))
    if any(found.is_alias for found in path):
        raise _NoRoom("an alias stands where the lines belong")
    layout = layout_of(yaml.compose(text))
    entry = path[-1] if len(path) == _depth(position) else None
    edits = list(_edits(text, entry, lines, layout) if entry else _new_entry(text, position, lines, layout))
    for edit in sorted(edits, key=lambda each: -each.start):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _edits(text: str, target: Found, lines: Sequence[Line], layout: Layout) -> Iterator[_Edit]:
    """Insert lines at the end of a mapping, or after an entry's first keys; lines below existing keys go into those.

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
            raise _NoRoom("an alias stands where the lines belong")
        if inner.is_empty:
            indent = column_of(inner.key) + layout.step
            yield from _filled(text, inner, write_lines(line.below, indent=indent, layout=layout))
        else:
            yield from _edits(text, inner, line.below, layout)


def _new_entry(text: str, position: SourcePosition, lines: Sequence[Line], layout: Layout) -> Iterator[_Edit]:
    """Insert an entry at the end of its section, or a section at the end of the file."""
    if position.version is not None:
        raise _NoRoom(f"it has no entry for version {position.version}")
    root = yaml.compose(text)
    section = value_of(root, position.section) if root is not None else None
    dash = column_of(section.node) if section is not None and not section.is_empty else layout.dash
    name = f"{' ' * dash}- name: {write_name(position.name)}"
    written = [name, *write_lines(lines, indent=dash + 2, layout=layout)]
    if section is None:
        at = len(text) if root is None else end_of(text, Found(root))
        yield _insertion(text, at, [f"{position.section}:", *written])
    elif section.is_empty:
        yield from _filled(text, section, written)
    else:
        yield _insertion(text, end_of(text, section), written)


def _in_block_style(text: str, position: SourcePosition, lines: Sequence[Line]) -> str:
    """Rewrite braces and brackets (YAML's flow style) on the path to the settings as lines (block style)."""
    while flow := next((found for found in _nodes_to_edit(text, position, lines) if found.is_flow), None):
        if flow.is_alias:
            raise _NoRoom("an alias stands where the lines belong")
        text = _rewrite_as_block(text, flow)
    return text


def _rewrite_as_block(text: str, found: Found) -> str:
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
    """Replace a value beside its key by lines below it; a comment beside it stays."""
    start, end = found.node.start_mark.index, found.node.end_mark.index
    if start < end:
        yield _Edit(len(text[:start].rstrip(" ")), end, "")
    yield _insertion(text, line_end(text, end), written)


def _nodes_to_edit(text: str, position: SourcePosition, lines: Sequence[Line]) -> Iterator[Found]:
    """Yield the nodes on the path to an entry, and those in it into which lines go, as far as they exist."""
    path = list(_path(text, position))
    yield from path
    if len(path) == _depth(position):
        yield from _within(path[-1], lines)


def _within(found: Found, lines: Sequence[Line]) -> Iterator[Found]:
    for line in lines:
        inner = value_of(found.node, line.key)
        if inner is not None:
            yield inner
            yield from _within(inner, line.below)


def _depth(position: SourcePosition) -> int:
    return 3 if position.version is None else 5


def _path(text: str, position: SourcePosition) -> Iterator[Found]:
    """Yield the nodes from the top of a file to an entry, or to a version of it, as far as they exist."""
    found = Found(root) if (root := yaml.compose(text)) is not None else None
    steps = [(position.section, ""), ("name", position.name)]
    steps += [("versions", ""), ("v", position.version)] if position.version is not None else []
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
    """Return an edit that inserts whole lines, with the line ends of the file."""
    return _Edit(at, at, "".join(f"{line}{_newline(text)}" for line in lines))


def _expected(text: str, position: SourcePosition, lines: Sequence[Line]) -> dict[str, Any]:
    """Return the content that the file must have after the edit."""
    content = deepcopy(yaml.safe_load(text)) or {}
    target = _target(content, position)
    if target is None:
        target = {"name": position.name}
        content[position.section] = [*(content.get(position.section) or []), target]
    target.update(_merged(target, yaml.safe_load("\n".join(write_lines(lines)))))
    return dict(content)


def _target(content: Any, position: SourcePosition) -> dict[str, Any] | None:
    """Find an entry, or a version of it, in the content of a file."""
    entries = (content or {}).get(position.section) or []
    found = next((each for each in entries if each.get("name") == position.name), None)
    if found is None or position.version is None:
        return found
    return next((each for each in found.get("versions") or [] if str(each.get("v")) == position.version), None)


def _merged(one: Any, other: Any) -> Any:
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return other
    return {**one, **{key: _merged(one.get(key), value) for key, value in other.items()}}
