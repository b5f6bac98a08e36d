"""The schema of a feature service: one for training and serving, in every warehouse, and the pin that models keep."""

from feature_sync.service_schema.pin import Pin, read_pin
from feature_sync.service_schema.schema import SchemaFeature, ServiceSchema, canonical

__all__ = ["Pin", "SchemaFeature", "ServiceSchema", "canonical", "read_pin"]
