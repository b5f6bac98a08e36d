"""The verification: proves that Redis equals the warehouse, or tells row by row how it does not."""

from feature_sync.verify.report import Difference, FeatureCounts, Verified
from feature_sync.verify.verifier import Setting, Verifier

__all__ = ["Difference", "FeatureCounts", "Setting", "Verified", "Verifier"]
