"""What a change of the project does to features and to the models that read them."""

from feature_sync.plan.plan import Estimate, Plan, PlannedDefinition, PlannedFeature, PlannedView
from feature_sync.plan.planner import make_plan
from feature_sync.plan.verdict import Reason, Verdict

__all__ = [
    "Estimate",
    "Plan",
    "PlannedDefinition",
    "PlannedFeature",
    "PlannedView",
    "Reason",
    "Verdict",
    "make_plan",
]
