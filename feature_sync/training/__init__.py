"""Training sets: a spine answered with a feature service, as one query that the warehouse runs."""

from feature_sync.training.content_hash import content_hash
from feature_sync.training.extract import Extract, ViewExtract
from feature_sync.training.rows import Rows
from feature_sync.training.spines import SpineKeywords, SpineOptions, SpineSource, read_spine
from feature_sync.training.training_set import TrainingSet
from feature_sync.training.training_table import TrainingTable

__all__ = [
    "Extract",
    "Rows",
    "SpineKeywords",
    "SpineOptions",
    "SpineSource",
    "TrainingSet",
    "TrainingTable",
    "ViewExtract",
    "content_hash",
    "read_spine",
]
