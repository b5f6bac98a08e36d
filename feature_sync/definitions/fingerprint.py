"""A fingerprint of definitions: it changes when an answer might, and not when only words about it do."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from hashlib import sha256
from typing import Any

from feature_sync.definitions.feature_service import FeatureService
from feature_sync.definitions.feature_view import FeatureView

_WORDS = {"location", "description", "owner", "is_label", "is_left_out", "online", "latest_version"}
_WORDS |= {"is_unique", "is_indexed", "is_table", "deprecation_date", "warnings"}


def fingerprint(service: FeatureService) -> str:
    """Hash a service with its views, keys, features, types and times: 64 hexadecimal digits.

    Tables count by their names in the warehouse; what they hold does not.
    """
    return sha256(json.dumps(_plain(service), sort_keys=True, default=str).encode()).hexdigest()


def view_fingerprint(view: FeatureView) -> str:
    """Hash all that decides which rows of a view answer, and how they are served: 64 hexadecimal digits."""
    used = {*view.join_keys, *view.times, *(each.name for each in view.features)}
    columns = {name: column for name, column in view.relation.columns.items() if name in used}
    narrowed = replace(view, relation=replace(view.relation, columns=columns))
    return sha256(json.dumps(_plain(narrowed), sort_keys=True, default=str).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value) if each.name not in _WORDS}
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
