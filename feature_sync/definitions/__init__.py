"""The definitions of a project: entities, feature views, feature services, spines, and the registry of them all."""

from feature_sync.definitions.deprecation import deprecation
from feature_sync.definitions.durations import format_duration, parse_duration
from feature_sync.definitions.feature_service import (
    FeatureService,
    Selection,
    selection_of,
    service_of,
    with_unique_aliases,
)
from feature_sync.definitions.feature_view import Entity, Feature, FeatureView, History
from feature_sync.definitions.fingerprint import fingerprint, view_fingerprint
from feature_sync.definitions.registry import Registry, parse_features, split_features
from feature_sync.definitions.relation import Column, Index, Relation
from feature_sync.definitions.spine import Ordering, Period, Spine, parse_ordering
from feature_sync.definitions.stream import MessageFormat, Stream
from feature_sync.definitions.target import Target, state_target
from feature_sync.definitions.zones import check_zone

__all__ = [
    "Column",
    "Entity",
    "Feature",
    "FeatureService",
    "FeatureView",
    "History",
    "Index",
    "MessageFormat",
    "Ordering",
    "Period",
    "Registry",
    "Relation",
    "Selection",
    "Spine",
    "Stream",
    "Target",
    "check_zone",
    "deprecation",
    "fingerprint",
    "format_duration",
    "parse_duration",
    "parse_features",
    "parse_ordering",
    "selection_of",
    "service_of",
    "split_features",
    "state_target",
    "view_fingerprint",
    "with_unique_aliases",
]
