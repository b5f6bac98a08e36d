"""Finds positions in YAML text: the value of a YAML key, its end, and the indentation of the text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from feature_sync.yaml_lines import Layout

Node: TypeAlias = yaml.Node


@dataclass(frozen=True, slots=True)
class Found:
    """A node and its key; an item of a list has none."""

    node: Node
    key: Node | None = None

    @property
    def is_alias(self) -> bool:
        """True if the node is an alias: its text is earlier in the file."""
        return self.key is not None and self.node.start_mark.index < self.key.end_mark.index

    @property
    def is_flow(self) -> bool:
        """True if the node is in flow style (in braces or brackets) and not empty."""
        return isinstance(self.node, yaml.CollectionNode) and bool(self.node.flow_style and self.node.value)

    @property
    def is_empty(self) -> bool:
        """True if the node is null, or empty braces or brackets."""
        is_hollow = isinstance(self.node, yaml.CollectionNode) and not self.node.value
        return is_hollow or self.node.tag == "tag:yaml.org,2002:null"


def value_of(mapping: Node, key: str) -> Found | None:
    """Return the value of a YAML key; of duplicate keys the last counts, as when YAML is loaded."""
    pairs = mapping.value if isinstance(mapping, yaml.MappingNode) else []
    found = [Found(value, each) for each, value in pairs if each.value == key]
    return found[-1] if found else None


def item_of(items: Node, key: str, value: str) -> Found | None:
    """Return the first mapping of a list in which a YAML key has a value.

    Args:
        items: A list; other nodes have no items.
        key: The YAML key.
        value: Its value, as text.
    """
    for each in items.value if isinstance(items, yaml.SequenceNode) else []:
        found = value_of(each, key)
        if found is not None and found.node.value == value:
            return Found(each)
    return None


def slice_of(text: str, node: Node) -> str:
    """Return the text of a node."""
    return text[node.start_mark.index : node.end_mark.index]


def column_of(node: Node) -> int:
    """Return the column of a node, from 0.

    A node on lines of its own starts at its first key or dash: its mark would point to an anchor before that.
    """
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
        return int(node.start_mark.column)
    if isinstance(node, yaml.MappingNode):
        return int(node.value[0][0].start_mark.column)
    text, first = node.value[0].start_mark.buffer, node.value[0].start_mark.index
    dash = text.rindex("-", 0, first)
    return int(dash - text.rfind("\n", 0, dash) - 1)


def end_of(text: str, found: Found) -> int:
    """Return the index at which the line after a node begins.

    PyYAML's end marks of block nodes are after the blank lines and comments that follow, so the end mark of the last
    value counts.
    """
    node = found.node
    if found.is_alias and found.key is not None:
        return line_end(text, found.key.end_mark.index)
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return end_of(text, Found(last[1], last[0]) if isinstance(last, tuple) else Found(last))
    at = int(node.end_mark.index)
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        keeps_blank_lines = "+" in slice_of(text, node).splitlines()[0]
        return at if keeps_blank_lines else line_end(text, len(text[:at].rstrip()))
    return line_end(text, at)


def line_end(text: str, at: int) -> int:
    """Return the index at which the next line begins."""
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def layout_of(root: Node | None) -> Layout:
    """Return the indentation of a text; of several ones the narrowest."""
    mappings: list[int] = []
    lists: list[int] = []
    for each in _blocks(root):
        distance = column_of(each.node) - column_of(each.key) if each.key is not None else 0
        (mappings if isinstance(each.node, yaml.MappingNode) else lists).append(distance)
    return Layout(step=min(mappings, default=2), dash=min(lists, default=2))


def _blocks(root: Node | None) -> Iterator[Found]:
    """Yield all mappings and lists that are values of YAML keys, in block style."""
    todo: list[Any] = [root] if root is not None else []
    while todo:
        node = todo.pop()
        if isinstance(node, yaml.SequenceNode):
            todo += node.value
        for key, value in node.value if isinstance(node, yaml.MappingNode) else []:
            found = Found(value, key)
            if isinstance(value, yaml.CollectionNode) and not value.flow_style and not found.is_alias:
                yield found
                todo.append(value)
