"""Timeless: looks up rows without an event timestamp by their keys only."""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.columns import is_not_null, quoted
from feature_sync.sql.training.steps import SPINE, Answer, Group, Plan, Question, Step, answer_of, left_join


def timeless(group: Group) -> Plan:
    """Join the one row of each entity; a spine row without a moment stays unanswered."""
    asked = is_not_null(quoted(group.names.asked_at, of=SPINE))
    steps: list[Step] = []
    joins: list[exp.Join] = []
    answers: list[Answer] = []
    for question in group.questions:
        rows = question.step("rows")
        number = quoted(question.query.row_number_name, of=rows)
        steps.append(Step(rows, _rows(question), f"{question.reference}: facts that answer any moment."))
        joins.append(left_join(rows, [*question.same_keys(SPINE, rows), number.eq(1), asked.copy()]))
        answers.append(answer_of(question, rows, found=is_not_null(number.copy())))
    return Plan(steps=steps, spine=group.spine, joins=joins, answers=answers)


def _rows(question: Question) -> exp.Select:
    """Number the rows of each entity: if an entity has several, the first one answers."""
    return question.query.rows(newest_first=True, features=question.selection.features)
