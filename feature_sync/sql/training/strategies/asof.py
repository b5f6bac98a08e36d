"""Asof: DuckDB's native join finds the last row available at each moment.

Among rows with the same timestamp it picks an arbitrary one. Where rows are not proven unique, the join therefore only
finds the timestamp, and the newest row with that timestamp is then chosen by the order of the definition. Ties among
the many rows that answer nothing are never sorted.
"""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.columns import extend, is_not_null, named, quoted
from feature_sync.sql.training.steps import SPINE, Answer, Group, Plan, Question, Step, answer_of, left_join, step_table


def asof(group: Group) -> Plan:
    """Join the last row available; if timestamps may be tied, choose among the rows with the timestamp found."""
    tied = [each for each in group.questions if not each.query.is_unique]
    joins, answers = [], []
    steps = [each.rows_step(are_read_twice=each in tied) for each in group.questions]
    spine = group.spine
    if tied:
        spine = group.step("asked")
        steps.append(Step(spine, _last_timestamps(group, tied), "The event timestamp of the last row available then."))
    for question in group.questions:
        if question in tied:
            comment = f"{question.reference}: the rows of those timestamps, the newest first; {question.age()}."
            steps.append(Step(question.step("newest"), _newest(group, question, spine), comment))
        join, answer = _chosen(group, question) if question in tied else _joined(group, question)
        joins.append(join)
        answers.append(answer)
    return Plan(steps=steps, spine=spine, joins=joins, answers=answers)


def _joined(group: Group, question: Question) -> tuple[exp.Join, Answer]:
    """Join the row itself; its age is checked afterwards, because an ASOF join accepts no other condition."""
    rows = question.step("rows")
    found = is_not_null(quoted(question.query.event_timestamp_name, of=rows))
    alive = question.alive(quoted(group.names.asked_at, of=SPINE), rows)
    if question.query.has_end:
        alive = [found.copy(), *alive]
    join = left_join(rows, _last_available(group, question, SPINE), method="ASOF")
    return join, answer_of(question, rows, found, holds=exp.and_(*alive) if alive else None)


def _last_timestamps(group: Group, tied: list[Question]) -> exp.Select:
    """Add to the spine, for each view, the event timestamp of the last row available."""
    spine = group.spine
    asked = exp.select(exp.Column(this=exp.Star(), table=exp.to_identifier(spine, quoted=True))).from_(
        step_table(spine)
    )
    for question in tied:
        rows = question.step("rows")
        last = quoted(question.query.event_timestamp_name, of=rows)
        join = left_join(rows, _last_available(group, question, spine), method="ASOF")
        extend(asked, [named(last, _answered_by(group, question))], [join])
    return asked


def _newest(group: Group, question: Question, asked: str) -> exp.Select:
    """Number the rows whose timestamp answers any spine row, the newest first."""
    query, rows = question.query, question.step("rows")
    event_timestamp = quoted(query.event_timestamp_name, of=rows)
    own = [*(quoted(key, of=rows) for key in query.view.join_keys), event_timestamp]
    order = exp.Order(expressions=query.tie_order(of=rows))
    number = exp.Window(this=exp.RowNumber(), partition_by=[each.copy() for each in own], order=order)
    answered = quoted(_answered_by(group, question), of=asked)
    answers_something = [*question.same_keys(asked, rows), answered.eq(event_timestamp.copy())]
    ends = [quoted(query.valid_until_name, of=rows)] if query.has_end else []
    features = [quoted(name, of=rows) for name in question.selection.features]
    return (
        exp.select(*own, *ends, *features, named(number, query.row_number_name))
        .from_(step_table(rows))
        .where(exp.Exists(this=exp.select(exp.Literal.number(1)).from_(step_table(asked)).where(*answers_something)))
    )


def _chosen(group: Group, question: Question) -> tuple[exp.Join, Answer]:
    newest, query = question.step("newest"), question.query
    number = quoted(query.row_number_name, of=newest)
    answered = quoted(_answered_by(group, question), of=SPINE)
    same = [
        *question.same_keys(SPINE, newest),
        answered.eq(quoted(query.event_timestamp_name, of=newest)),
        number.eq(1),
    ]
    same += question.alive(quoted(group.names.asked_at, of=SPINE), newest)
    return left_join(newest, same), answer_of(question, newest, found=is_not_null(number.copy()))


def _answered_by(group: Group, question: Question) -> str:
    return group.names.own(f"{question.prefix}_answered_by")


def _last_available(group: Group, question: Question, spine: str) -> list[exp.Expr]:
    rows = question.step("rows")
    asked_at = quoted(group.names.asked_at, of=spine)
    available = exp.GTE(this=asked_at, expression=quoted(question.query.available_at_name, of=rows))
    return [*question.same_keys(spine, rows), available]
