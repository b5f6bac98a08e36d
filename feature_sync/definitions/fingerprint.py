"""Fingerprints of definitions: they change if answers might, but not with descriptions and other metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from feature_sync.definitions.feature_service import FeatureService, Selection
from feature_sync.definitions.feature_view import Entity, Feature, FeatureView
from feature_sync.definitions.relation import Column, Relation

COUNTED: Mapping[type, tuple[str, ...]] = {
    FeatureService: ("name", "selections", "full_names"),
    Selection: ("view", "alias", "features", "spine_keys"),
    FeatureView: (
        "name", "version", "relation", "entities", "features", "history", "event_timestamp", "created_timestamp",
        "known_at", "valid_to", "valid_to_current", "is_deleted", "lag", "ttl", "timezone",
    ),
    Entity: ("name", "join_keys"),
    Feature: ("name", "default"),
    Relation: ("name", "unique_id", "columns", "columns_are_complete", "event_time"),
    Column: ("name", "data_type", "stored_as"),
}  # fmt: skip
"""The fields that affect answers. A new field of a definition counts only once it is listed here, so that a new version
of this package keeps fingerprints: a changed one causes a full push."""


def fingerprint(service: FeatureService) -> str:
    """Hash a service with its views, join keys, features, types and times: 64 hexadecimal digits.

    Tables count by their names in the warehouse, not by their rows. Types count as they are written, so normalise them
    with `with_normal_types` first.
    """
    return _hash(service)


def view_fingerprint(view: FeatureView) -> str:
    """Hash everything that affects which rows of a view answer, and how they are served: 64 hexadecimal digits.

    Types count as they are written, so normalise them with `with_normal_types` first.
    """
    used = {*view.join_keys, *view.times, *(each.name for each in view.features)}
    columns = {name: column for name, column in view.relation.columns.items() if name in used}
    return _hash(replace(view, relation=replace(view.relation, columns=columns)))


def _hash(definition: FeatureService | FeatureView) -> str:
    return sha256(json.dumps(_plain(definition), sort_keys=True, default=str).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if counted := COUNTED.get(type(value)):
        return {name: _plain(getattr(value, name)) for name in counted}
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
