"""Finds blocks that look like definitions but are not, so that a missing feature view has an explanation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from feature_sync.dbt.manifest import Manifest
from feature_sync.dbt.node import Node
from feature_sync.findings import Finding

_OFF = (None, False)  # values that override the setting of a folder
_VIEWS = ("model", "snapshot", "seed")
_KINDS = {"feature_view": _VIEWS, "feature_view_defaults": _VIEWS, "feature_service": ("exposure",)}
_CLOSE = 0.85


def lookalikes(manifest: Manifest) -> Iterator[Finding]:
    """Yield warnings of blocks that are misspelt, misplaced or not mappings, and of labels that are not booleans."""
    for node in manifest.nodes_and_exposures():
        kind = (node.unique_id or "").partition(".")[0]
        for key, value in node.meta.items():
            if value not in _OFF and (message := _misreading(key, value, kind)):
                yield node.location.at(f"config.meta.{key}").warning(message)
        for key in _KINDS.keys() & (node.config or {}).keys():
            yield node.location.at(f"config.{key}").warning("means nothing here; it belongs under config.meta")
        yield from _labels(node)


def _misreading(key: str, value: Any, kind: str) -> str | None:
    """Return why a key of `meta` has no effect although it looks like ours; None if it has one, or looks foreign."""
    if key in _KINDS:
        if kind not in _KINDS[key]:
            owner = "an exposure" if key == "feature_service" else "a model, snapshot or seed"
            return f"means nothing at a node of the kind {kind}; it belongs to {owner}"
        if not isinstance(value, Mapping) and key != "feature_view_defaults":
            return f"is not a mapping but {value!r}, so it defines no {key.replace('_', ' ')}"
        return None
    close = get_close_matches(key, _KINDS, n=1, cutoff=_CLOSE)
    return f"means nothing to feature-sync; did you mean {close[0]!r}?" if close else None


def _labels(node: Node) -> Iterator[Finding]:
    for name, column in (node.columns or {}).items():
        label = column.meta.get("label")
        if label is not None and not isinstance(label, bool):
            at = node.location.at(f"columns.{name}.config.meta.label")
            yield at.warning(f"is neither true nor false but {label!r}, so it marks no label")
