"""Timeless: facts that never change are looked up by their keys alone."""

from __future__ import annotations

from feature_sync.sql.columns import is_not_null, quoted
from feature_sync.sql.steps import SPINE, Plan, Question, Step, left_join, step_table


def timeless(question: Question) -> Plan:
    """Join the one row of each entity; a spine row without a moment stays unanswered."""
    rows, answers = question.step("rows"), question.step("answers")
    reference = question.selection.view.reference
    first = quoted(question.query.newness_name, of=rows).eq(1)
    steps = [
        Step(rows, question.query.rows(newest_first=True), f"{reference}: facts that answer any moment."),
        Step(answers, question.answers(rows).from_(step_table(rows)).where(first), f"{reference}: one row per entity."),
    ]
    same = [*question.same_keys(SPINE, answers), is_not_null(quoted(question.names.asked_at, of=SPINE))]
    return question.plan(steps, left_join(answers, same), answers)
