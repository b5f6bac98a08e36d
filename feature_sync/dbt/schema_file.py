"""Puts settings into the text of a dbt YAML file, and leaves every other character where it is.

A round trip through a YAML writer would set quotes, indentation and spaces anew. Here the parser only tells where
things stand, and lines are put between them; what comes out is read again, and must say what it said before and the
new settings, no more and no less.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import yaml

from feature_sync.dbt.yaml_lines import Layout, Line, write_lines, write_name
from feature_sync.errors import OutputError, ProjectError

_FIRST_KEYS = ("name", "description", "relation", "latest_version", "docs", "group", "access")
"""What a person writes before a node's configuration."""
_BETWEEN = re.compile(r"[\s,:{}\[\]]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where settings go: the entry called `name` below `models`, `seeds` or `snapshots`, or one version of it."""

    section: str
    name: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class _Step:
    """One node on the way to a configuration, and the key or dash that it stands behind."""

    node: yaml.Node
    key: yaml.Node | None = None

    @property
    def is_alias(self) -> bool:
        return self.key is not None and self.node.start_mark.index < self.key.end_mark.index

    @property
    def is_flow(self) -> bool:
        return isinstance(self.node, yaml.CollectionNode) and bool(self.node.flow_style)


def settings_at(text: str, place: Place, *, file: str) -> dict[str, Any]:
    """Read what a file configures at a place; empty where it says nothing.

    Raises:
        ProjectError: The text is no YAML of dbt's.
    """
    try:
        config = (_target(yaml.safe_load(text), place) or {}).get("config")
    except (yaml.YAMLError, AttributeError) as broken:
        raise ProjectError(f"{file} is no YAML that dbt could read: {' '.join(str(broken).split())}") from broken
    return config if isinstance(config, dict) else {}


def put_settings(text: str, place: Place, lines: Sequence[Line], *, file: str) -> str:
    """Put lines into the `config` of an entry, which is made if need be; `file` is for the error.

    Raises:
        OutputError: The text is no YAML, or is written in a way that has no room for more lines.
    """
    try:
        changed = _put(_unfolded(text, place), place, lines)
        wanted, found = _expected(text, place, lines), yaml.safe_load(changed)
    except (yaml.YAMLError, _NoRoom) as unfit:
        raise OutputError(_refusal(file, place, " ".join(str(unfit).split()))) from unfit
    if wanted != found:
        raise OutputError(_refusal(file, place, "what it says now would not stay as it is"))
    return changed


class _NoRoom(Exception):
    """The text cannot take the lines; says why."""


def _refusal(file: str, place: Place, reason: str) -> str:
    return f"{file}: {place.name} cannot be edited in place ({reason}); leave out --write, and paste what is printed"


def _put(text: str, place: Place, lines: Sequence[Line]) -> str:
    """Put lines into a text whose path to them is written in block style."""
    path = list(_path(text, place))
    layout = _layout(yaml.compose(text))
    if any(step.is_alias for step in path):
        raise _NoRoom("an alias stands where the lines would go")
    if not path or (entry := _entry(path, place)) is None:
        return _with_entry(text, place, lines, layout)
    if _is_empty(config := _value(entry, "config")):
        after = config.key or _last_of_first_keys(entry)
        column = _column(entry)
        written = list(write_lines(lines, indent=column + layout.step, layout=layout))
        head = [] if config.key else [f"{' ' * column}config:"]
        return _inserted(_without(text, config), _end(text, after, config), [*head, *written])
    return _into(text, config.node, lines, layout)


def _into(text: str, mapping: yaml.Node, lines: Sequence[Line], layout: Layout) -> str:
    """Put lines at the end of a mapping; what is already there takes the lines below it."""
    missing = [line for line in lines if not line.key or _value(mapping, line.key).key is None]
    column = _column(mapping)
    text_after = _inserted(
        text, _end(text, mapping), list(write_lines(missing, indent=column, layout=layout)) if missing else []
    )
    for line in lines:
        found = _value(mapping, line.key) if line.key else None
        if found is None or found.key is None:
            continue
        if not _is_empty(found):
            return _into(text_after, found.node, line.below, layout)
        written = list(write_lines(line.below, indent=column + layout.step, layout=layout))
        return _inserted(_without(text_after, found), _end(text, found.key, found), written)
    return text_after


def _with_entry(text: str, place: Place, lines: Sequence[Line], layout: Layout) -> str:
    """Add an entry at the end of its section, or a section at the end of the file."""
    if place.version is not None:
        raise _NoRoom(f"it has no entry for version {place.version}")
    root = yaml.compose(text)
    section = _value(root, place.section) if root is not None else None
    has_items = section is not None and section.key is not None and not _is_empty(section)
    dash = _column(section.node) if section is not None and has_items else layout.dash
    margin = " " * (dash + 2)
    written = [f"{' ' * dash}- name: {write_name(place.name)}", f"{margin}config:"]
    written += write_lines(lines, indent=dash + 2 + layout.step, layout=layout)
    if section is None or section.key is None:
        at = len(text) if root is None else _end(text, root)
        return _inserted(text, at, [f"{place.section}:", *written])
    if has_items:
        return _inserted(text, _end(text, section.node), written)
    return _inserted(_without(text, section), _end(text, section.key, section), written)


def _unfolded(text: str, place: Place) -> str:
    """Write whatever stands in braces or brackets on the way to the configuration as lines of its own."""
    while folded := next((step for step in _path(text, place) if step.is_flow), None):
        if folded.is_alias:
            raise _NoRoom("an alias stands where the lines would go")
        text = _unfold(text, folded, _layout(yaml.compose(text)))
    return text


def _unfold(text: str, step: _Step, layout: Layout) -> str:
    node = step.node
    start, end = node.start_mark.index, node.end_mark.index
    parts = [_pieces(text, each) for each in node.value]
    left, at = "", start
    for each in (mark for pair in node.value for mark in (pair if isinstance(pair, tuple) else (pair,))):
        left += text[at : max(at, each.start_mark.index)]
        at = max(at, each.end_mark.index)
    if not _BETWEEN.fullmatch(left + text[at:end]):
        raise _NoRoom("a comment stands within braces")
    if step.key is None:
        rows = f"{_newline(text)}{' ' * node.start_mark.column}".join(parts)
        return text[:start] + rows + text[end:]
    is_mapping = isinstance(node, yaml.MappingNode)
    margin = " " * (step.key.start_mark.column + (layout.step if is_mapping else layout.dash))
    rest = _line_end(text, end)
    without = text[:start].rstrip(" ") + text[end:]
    return _inserted(without, rest - (len(text) - len(without)), [margin + part for part in parts])


def _pieces(text: str, item: Any) -> str:
    if isinstance(item, tuple):
        key, value = item
        return f"{_slice(text, key)}: {_slice(text, value)}".rstrip()
    return f"- {_slice(text, item)}"


def _slice(text: str, node: yaml.Node) -> str:
    return text[node.start_mark.index : node.end_mark.index]


def _path(text: str, place: Place) -> Iterator[_Step]:
    """Go from the top of a file to the `meta` of a configuration, as far as there is a way."""
    root = yaml.compose(text)
    if root is None:
        return
    yield _Step(root)
    section = _value(root, place.section)
    if section.key is None or not isinstance(section.node, yaml.SequenceNode):
        return
    yield section
    node = _item(section.node, "name", place.name)
    if node is not None and place.version is not None:
        yield _Step(node)
        versions = _value(node, "versions")
        yield versions
        node = _item(versions.node, "v", place.version)
    if node is None:
        return
    yield _Step(node)
    for key in ("config", "meta"):
        step = _value(node, key)
        if step.key is None or _is_empty(step):
            return
        yield step
        node = step.node


def _entry(path: Sequence[_Step], place: Place) -> Any:
    """The entry, or the version of it, on a path."""
    depth = 2 if place.version is None else 4
    return path[depth].node if len(path) > depth else None


def _value(mapping: yaml.Node, key: str) -> _Step:
    """Find what stands behind a key; without a key where there is none."""
    found = _Step(mapping)
    for each, value in mapping.value if isinstance(mapping, yaml.MappingNode) else []:
        if each.value == key:
            found = _Step(value, each)
    return found


def _item(items: yaml.Node, key: str, value: str) -> Any:
    """Find the mapping of a list in which a key has a value."""
    for each in items.value if isinstance(items, yaml.SequenceNode) else []:
        found = _value(each, key)
        if found.key is not None and found.node.value == value:
            return each
    return None


def _last_of_first_keys(entry: yaml.Node) -> Any:
    last = entry.value[0]
    for key, value in entry.value:
        if key.value not in _FIRST_KEYS:
            break
        last = (key, value)
    key, value = last
    return key if _Step(value, key).is_alias else value


def _is_empty(step: _Step) -> bool:
    if step.key is None:
        return True
    empty_list = isinstance(step.node, yaml.CollectionNode) and not step.node.value
    return empty_list or step.node.tag == "tag:yaml.org,2002:null"


def _without(text: str, step: _Step) -> str:
    """Take out an empty value that is written as `null` or `{}`."""
    if step.key is None or step.node.start_mark.index == step.node.end_mark.index:
        return text
    return text[: step.node.start_mark.index].rstrip(" ") + text[step.node.end_mark.index :]


def _column(node: yaml.Node) -> int:
    return int(node.start_mark.column)


def _end(text: str, node: yaml.Node, emptied: _Step | None = None) -> int:
    """Find where the line ends on which a node ends; an emptied value is no longer in the text."""
    if emptied is not None and emptied.key is not None:
        return _line_end(_without(text, emptied), emptied.key.end_mark.index)
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        key, value = last if isinstance(last, tuple) else (None, last)
        return _end(text, key if key is not None and _Step(value, key).is_alias else value)
    at = int(node.end_mark.index)
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        header = _slice(text, node).splitlines()[0]
        return at if "+" in header else _line_end(text, len(text[:at].rstrip()))
    return _line_end(text, at)


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _inserted(text: str, at: int, lines: Sequence[str]) -> str:
    """Insert whole lines, ended as the file ends its own."""
    newline = _newline(text)
    before = newline if lines and at and text[at - 1] != "\n" else ""
    return text[:at] + before + "".join(f"{line}{newline}" for line in lines) + text[at:]


def _layout(root: yaml.Node | None) -> Layout:
    """Read from a file how it indents."""
    steps: dict[type, list[int]] = {yaml.MappingNode: [], yaml.SequenceNode: []}
    todo = [root] if root is not None else []
    while todo:
        node = todo.pop(0)
        for key, value in node.value if isinstance(node, yaml.MappingNode) else []:
            if type(value) in steps and not value.flow_style and not _Step(value, key).is_alias:
                steps[type(value)].append(_column(value) - _column(key))
                todo.append(value)
        todo += node.value if isinstance(node, yaml.SequenceNode) else []
    mappings, lists = steps[yaml.MappingNode], steps[yaml.SequenceNode]
    return Layout(step=min(mappings, default=2), dash=min(lists, default=2))


def _expected(text: str, place: Place, lines: Sequence[Line]) -> dict[str, Any]:
    """Say what a file must say once it holds the lines."""
    content = deepcopy(yaml.safe_load(text)) or {}
    target = _target(content, place)
    if target is None:
        target = {"name": place.name}
        content[place.section] = [*(content.get(place.section) or []), target]
    settings = yaml.safe_load("\n".join(write_lines(lines)))
    target["config"] = _merged(target.get("config") or {}, settings)
    return dict(content)


def _target(content: Any, place: Place) -> dict[str, Any] | None:
    """Find the entry, or the version of it, in what a file says."""
    entries = (content or {}).get(place.section) or []
    found = next((each for each in entries if each.get("name") == place.name), None)
    if found is None or place.version is None:
        return found
    return next((each for each in found.get("versions") or [] if str(each.get("v")) == place.version), None)


def _merged(one: Any, other: Any) -> Any:
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return other
    return {**one, **{key: _merged(one.get(key), value) for key, value in other.items()}}
