"""The JSON documents of the commands of operators: `plan`, `acl`, `forget`, `skew`; see `documents`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from feature_sync.cli.documents import Document
from feature_sync.json_text import seconds

if TYPE_CHECKING:
    from feature_sync.access.redis_rules import RedisRules
    from feature_sync.forgetting.traces import Traces
    from feature_sync.monitor.skew import Skew
    from feature_sync.plan import Plan, PlannedDefinition, PlannedView


def of_acl(rules: RedisRules) -> Document:
    """Return the document of `acl`, without passwords and their hashes."""
    missing = rules.without_password
    return {
        "users": [
            {
                "name": each.name,
                "may": each.may,
                "password_variable": (variable := rules.variables[each.name]),
                "has_password": variable not in missing,
                "key_patterns": each.keys,
                "commands": each.commands,
            }
            for each in rules.users
        ]
    }


def of_traces(traces: Traces) -> Document:
    """Return the document of `forget`."""
    return {
        "entity": traces.entity,
        "entity_keys": [{"name": name, "value": value} for name, value in traces.keys.items()],
        "is_forgotten": traces.is_forgotten,
        "traces": [
            {
                "place": str(each.place),
                "name": each.name,
                "feature_view_name": each.feature_view,
                "found_count": each.rows,
                "cure": each.cure,
            }
            for each in traces.traces
        ],
        "search_problems": traces.problems,
    }


def of_plan(plan: Plan) -> Document:
    """Return the document of `plan`."""
    views = [
        {**_planned(each), "estimate": _estimate(each), "features": [_planned(feature) for feature in each.features]}
        for each in plan.feature_views
    ]
    return {
        "verdict": plan.verdict.value,
        "feature_views": views,
        "entities": [_planned(each) for each in plan.entities],
        "feature_services": [_planned(each) for each in plan.feature_services],
        "notes": list(plan.notes),
    }


def _planned(planned: PlannedDefinition) -> Document:
    return {
        "name": planned.name,
        "verdict": planned.verdict.value,
        "broken_service_names": list(planned.broken_services),
        "reasons": [{"verdict": each.verdict.value, "text": each.text} for each in planned.reasons],
    }


def _estimate(view: PlannedView) -> Document:
    found = view.estimate
    return {
        "row_count": found and found.rows,
        "sent_bytes": found and found.sent_bytes,
        "memory_bytes": found and found.memory_bytes,
        "scan_bytes": found and found.scan_bytes,
        "unknown_because": view.no_estimate,
    }


def of_skew(skew: Skew) -> Document:
    """Return the document of `skew`."""
    counts = ("name", "feature_view", "matching", "different", "missing", "extra", "match_share")
    sizes = ("mean_difference", "max_difference")
    return {
        "feature_service": skew.service,
        "log": skew.log,
        "since": skew.since,
        "until": skew.until,
        "vectors": skew.vectors,
        "matching": skew.matching,
        "match_share": skew.match_share,
        "other_shape_vectors": skew.other_shape,
        "other_logic_vectors": skew.other_logic,
        "tolerance_share": skew.tolerance,
        "features": [{name: getattr(each, name) for name in (*counts, *sizes)} for each in skew.features],
        "feature_views": [
            {
                "name": each.feature_view,
                "alias": each.alias,
                "lag_seconds": seconds(each.lag),
                "observed_lag_seconds": seconds(each.observed_lag),
                "matching": each.matching,
                "matching_if_observed": each.matching_with_observed,
            }
            for each in skew.views
        ],
        "examples": [asdict(each) for each in skew.examples],
        "are_values_redacted": skew.are_values_redacted,
    }
