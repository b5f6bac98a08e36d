"""Asof: DuckDB's own join finds the last row available at each moment.

Which of several rows with the same timestamp it finds is arbitrary. Where rows are not proven unique, it is only asked
for the timestamp, and the newest row of just those timestamps is then chosen by the order of the definition: ties among
the many rows that answer nothing are never sorted.
"""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.columns import is_not_null, named, quoted
from feature_sync.sql.steps import SPINE, Plan, Question, Step, left_join, step_table


def asof(question: Question) -> Plan:
    """Join the last row available; where timestamps may be tied, choose among the rows that share the answer's."""
    return _joined(question) if question.selection.view.is_unique else _chosen(question)


def _joined(question: Question) -> Plan:
    query, rows = question.query, question.step("rows")
    found = is_not_null(quoted(query.event_timestamp_name, of=rows))
    alive = question.alive(quoted(question.names.asked_at, of=SPINE), rows)
    holds = exp.and_(found.copy(), *alive) if query.has_end else exp.and_(*alive) if alive else None
    comment = f"{question.selection.view.reference}: rows that can answer; one for each entity and event timestamp."
    return Plan(
        steps=[Step(rows, query.plain_rows(), comment)],
        spine=question.spine,
        joins=[left_join(rows, _last_available(question, SPINE, rows), method="ASOF")],
        source=rows,
        found=found,
        holds=holds,
    )


def _chosen(question: Question) -> Plan:
    query, names, reference = question.query, question.names, question.selection.view.reference
    rows, asked, newest = question.step("rows"), question.step("asked"), question.step("newest")
    answered_by = f"{names.answered_by}_{question.prefix}"
    last = exp.select(
        exp.Column(this=exp.Star(), table=exp.to_identifier(question.spine, quoted=True)),
        named(quoted(query.event_timestamp_name, of=rows), answered_by),
    ).from_(step_table(question.spine))
    last.append("joins", left_join(rows, _last_available(question, question.spine, rows), method="ASOF"))
    same = question.same_keys(SPINE, newest)
    same.append(quoted(answered_by, of=SPINE).eq(quoted(query.event_timestamp_name, of=newest)))
    same.append(quoted(query.newness_name, of=newest).eq(1))
    same += question.alive(quoted(names.asked_at, of=SPINE), newest)
    return Plan(
        steps=[
            Step(rows, query.plain_rows(), f"{reference}: rows that can answer."),
            Step(asked, last, "The event timestamp of the last row available at each moment."),
            Step(
                newest,
                _newest(question, answered_by),
                f"The rows of those timestamps, the newest first; {question.age()}.",
            ),
        ],
        spine=asked,
        joins=[left_join(newest, same)],
        source=newest,
        found=quoted(names.found, of=newest),
    )


def _newest(question: Question, answered_by: str) -> exp.Select:
    """Number the rows whose timestamp answers something, the newest first."""
    query = question.query
    rows, asked = question.step("rows"), question.step("asked")
    own = [*(quoted(key, of=rows) for key in query.view.join_keys), quoted(query.event_timestamp_name, of=rows)]
    order = exp.Order(expressions=query.tie_order(of=rows))
    number = exp.Window(this=exp.RowNumber(), partition_by=[each.copy() for each in own], order=order)
    answers_something = [
        *question.same_keys(asked, rows),
        quoted(answered_by, of=asked).eq(quoted(query.event_timestamp_name, of=rows)),
    ]
    ends = [quoted(query.valid_until_name, of=rows)] if query.has_end else []
    return (
        question.answers(rows)
        .select(own[-1].copy(), *ends, named(number, query.newness_name))
        .from_(step_table(rows))
        .where(exp.Exists(this=exp.select(exp.Literal.number(1)).from_(step_table(asked)).where(*answers_something)))
    )


def _last_available(question: Question, spine: str, rows: str) -> list[exp.Expr]:
    asked_at = quoted(question.names.asked_at, of=spine)
    available = exp.GTE(this=asked_at, expression=quoted(question.query.available_at_name, of=rows))
    return [*question.same_keys(spine, rows), available]
