"""Canonical forms of compiled SQL: two queries of one form provably have the same rows."""

from feature_sync.sql.plan.comparison import Difference, compare
from feature_sync.sql.plan.forms import ROWS, WHOLE, Form
from feature_sync.sql.plan.queries import QueryForm, Tables, UnreadableQuery, form_of

__all__ = [
    "ROWS",
    "WHOLE",
    "Difference",
    "Form",
    "QueryForm",
    "Tables",
    "UnreadableQuery",
    "compare",
    "form_of",
]
