"""Reads YAML within bounds of size, depth and number of values; errors name the line and YAML key, never a value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

MOST_BYTES = 4 * 2**20
MOST_VALUES = 200_000
MOST_LEVELS = 100
_CHARACTERS_PER_VALUE = MOST_BYTES // MOST_VALUES  # a long text counts as several values: aliases repeat it, too
_MOST_DIGITS = 400  # Python refuses several thousand digits, and is slow for fewer in base 60
_LONGEST_NAME = 60
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG, _TEXT, _MERGE = "tag:yaml.org,2002:", "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_COLLECTIONS = ("map", "seq", "set", "omap", "pairs")
_QUOTES = "needs quotation marks"
_UNFIT = (ValueError, ArithmeticError, LookupError, AttributeError, TypeError, yaml.YAMLError)
"""The exceptions of PyYAML's constructors for a scalar that is not of its type."""


class UnfitYaml(Exception):
    """A text is not YAML, or exceeds the bounds; the message has the line and the path of YAML keys."""

    def __init__(self, reason: str, line: int, keys: tuple[str, ...] = ()) -> None:
        """Compose the message.

        Args:
            reason: What is wrong.
            line: The line, from 0 as in PyYAML; the message counts from 1.
            keys: The path of YAML keys.
        """
        super().__init__(": ".join(part for part in (f"line {line + 1}", ".".join(keys), reason) if part))


def load(content: bytes | str) -> Any:
    """Read a text as Python values.

    Raises:
        UnfitYaml: It is not YAML, holds a value that is not of its type, or exceeds the bounds.
    """
    root = compose(content)
    if root is None:
        return None
    loader = _LOADER("")
    try:
        for node, keys in _walk(root):
            _check(loader, node, keys)
        return loader.construct_document(root)
    except yaml.MarkedYAMLError as broken:
        raise _translated(broken) from broken
    finally:
        loader.dispose()


def compose(content: bytes | str) -> yaml.Node | None:
    """Read a text as PyYAML's nodes, which have lines; None for an empty text.

    Raises:
        UnfitYaml: It is not YAML, or exceeds the bounds.
    """
    text = _decoded(content)
    _check_bounds(text)
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as broken:
        raise _translated(broken) from broken
    return root


@dataclass(slots=True)
class _Open:
    """A mapping or list that is being read: its anchor, its number of values so far, and the YAML key read last."""

    is_mapping: bool
    anchor: str | None
    key: str = ""
    awaits_key: bool = True
    values: int = 1


@dataclass(slots=True)
class _Bounds:
    """Counts the values of a text by the parser's events, which neither recurse nor follow aliases."""

    opened: list[_Open] = field(default_factory=list)
    values: dict[str, int] = field(default_factory=dict)
    """The number of values that each anchor stands for."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The path of YAML keys to the parser's current event."""
        return tuple(each.key for each in self.opened if each.key)

    def count(self, event: yaml.Event) -> None:
        """Count one event."""
        if isinstance(event, yaml.CollectionStartEvent):
            if len(self.opened) >= MOST_LEVELS:
                raise self._unfit(event, f"nests deeper than {MOST_LEVELS} levels")
            self.opened.append(_Open(isinstance(event, yaml.MappingStartEvent), event.anchor))
        elif isinstance(event, yaml.CollectionEndEvent):
            closed = self.opened.pop()
            self._add(event, closed.values, closed.anchor)
        elif isinstance(event, yaml.AliasEvent):
            self._add(event, self._aliased(event))
        elif isinstance(event, yaml.ScalarEvent):
            self._add(event, 1 + len(event.value) // _CHARACTERS_PER_VALUE, event.anchor)

    def _aliased(self, event: yaml.AliasEvent) -> int:
        if event.anchor in {each.anchor for each in self.opened}:
            raise self._unfit(event, "an alias stands inside the value that it names")
        if event.anchor not in self.values:
            raise self._unfit(event, f"an alias names an unknown anchor; a text that begins with * {_QUOTES}")
        return self.values[event.anchor]

    def _add(self, event: yaml.Event, values: int, anchor: str | None = None) -> None:
        if anchor:
            self.values[anchor] = values
        if not self.opened:
            return
        parent = self.opened[-1]
        parent.values += values
        if parent.values > MOST_VALUES:
            raise self._unfit(event, f"holds more than {MOST_VALUES:,} values, each alias with all it stands for")
        if parent.is_mapping:
            parent.key = _name(getattr(event, "value", "")) if parent.awaits_key else ""
            parent.awaits_key = not parent.awaits_key

    def _unfit(self, event: yaml.Event, reason: str) -> UnfitYaml:
        mark = event.start_mark
        return UnfitYaml(reason, 0 if mark is None else mark.line, self.keys)


def _check_bounds(text: str) -> None:
    bounds = _Bounds()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            bounds.count(event)
    except yaml.MarkedYAMLError as broken:
        raise _translated(broken, bounds.keys) from broken
    except yaml.YAMLError as broken:  # raised by PyYAML's reader for a character that YAML forbids
        line = text.count("\n", 0, getattr(broken, "position", 0))
        raise UnfitYaml("holds a control character", line) from broken


def _decoded(content: bytes | str) -> str:
    """Decode UTF-8, with or without a byte order mark."""
    if len(content) > MOST_BYTES:
        raise UnfitYaml(f"is larger than {MOST_BYTES // 2**20} MB", 0)
    if isinstance(content, str):
        return content
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as foreign:
        raise UnfitYaml("is not UTF-8, which dbt requires", content.count(b"\n", 0, foreign.start)) from foreign


def _walk(root: yaml.Node) -> Iterator[tuple[yaml.Node, tuple[str, ...]]]:
    """Yield every node once, with the path of YAML keys to it."""
    todo: list[tuple[yaml.Node, tuple[str, ...]]] = [(root, ())]
    seen: set[int] = set()
    while todo:
        node, keys = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node, keys
        if isinstance(node, yaml.SequenceNode):
            todo += [(each, keys) for each in node.value]
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                named = (*keys, _name(key.value))
                todo += [(key, named), (value, named)]


def _check(loader: yaml.SafeLoader, node: yaml.Node, keys: tuple[str, ...]) -> None:
    """Raise if a node's value is not of the type of its tag."""
    kind = node.tag.removeprefix(_TAG)
    is_known = node.tag in loader.yaml_constructors or node.tag == _MERGE
    if not is_known or (kind in _COLLECTIONS) == isinstance(node, yaml.ScalarNode):
        raise UnfitYaml(f"has an unknown tag; a text that begins with ! or = {_QUOTES}", node.start_mark.line, keys)
    if not isinstance(node, yaml.ScalarNode) or node.tag in (_TEXT, _MERGE):
        return
    if kind in ("int", "float") and len(node.value) > _MOST_DIGITS:
        raise UnfitYaml(f"holds a number of more than {_MOST_DIGITS} digits", node.start_mark.line, keys)
    try:
        loader.construct_object(node)
    except _UNFIT as unfit:
        reason = f"is written as a value of type {kind} but is not one; a text {_QUOTES}"
        raise UnfitYaml(reason, node.start_mark.line, keys) from unfit


def _translated(broken: yaml.MarkedYAMLError, keys: tuple[str, ...] = ()) -> UnfitYaml:
    """Return the parser's error without the text that it quotes, which may be a secret."""
    messages = [part for part in (broken.context, broken.problem) if part]
    reason = re.sub(r"\s*'.*'", "", ", ".join(messages)) or "not YAML"
    mark = broken.problem_mark or broken.context_mark
    return UnfitYaml(reason, 0 if mark is None else mark.line, keys)


def _name(value: object) -> str:
    """Return a YAML key shortened so that a message stays on one line."""
    text = value if isinstance(value, str) else "?"
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}..."
