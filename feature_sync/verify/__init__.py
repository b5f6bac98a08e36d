"""Verification: proves that Redis equals the warehouse, or reports each difference."""

from feature_sync.verify.report import Difference, FeatureCounts, Verified, VerifyReport
from feature_sync.verify.verifier import Verifier, VerifyContext

__all__ = ["Difference", "FeatureCounts", "Verified", "Verifier", "VerifyContext", "VerifyReport"]
