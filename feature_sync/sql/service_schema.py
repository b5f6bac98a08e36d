"""The schema of a feature service, from its definition and the types of its columns."""

from __future__ import annotations

from collections.abc import Mapping

from feature_sync.definitions import FeatureService
from feature_sync.service_schema import SchemaFeature, ServiceSchema
from feature_sync.service_schema.schema import schema_of
from feature_sync.sql.view_query import ViewQuery
from feature_sync.value_types import MICROSECOND, ValueType, wire_default


def service_schema(service: FeatureService, views: Mapping[str, ViewQuery]) -> ServiceSchema:
    """Return the schema of a service, which is also that of its card in Redis after a push.

    Args:
        service: The service.
        views: The query of each of its views, by the view's reference.
    """
    keys: dict[str, ValueType] = {}
    features: list[SchemaFeature] = []
    for each in service.selections:
        query = views[each.view.reference]
        types = (query.key_types[key] for key in each.view.join_keys)
        keys.update(zip(each.spine_keys, types, strict=True))
        ttl = None if each.view.ttl is None else each.view.ttl // MICROSECOND
        for name in each.features:
            kind = query.feature_types[name]
            default = wire_default(kind, each.view.feature(name).default)
            features.append(SchemaFeature(service.output_name(each, name), kind, default, ttl))
    return schema_of([(name, keys[name]) for name in service.join_keys], features)
