"""Asof: DuckDB's native join finds the last row available at each moment.

A view is joined directly if (keys, event timestamp) is proven unique, its rows are narrow, and they become available in
the order of their event timestamps. Otherwise the join only finds the times of the row, and the row is fetched by them:

- Among rows with the same times, the join picks an arbitrary one. Where rows are not proven unique, those of the times
  found are therefore ranked by the order of the definition. Ties among the many rows that answer nothing are never
  sorted.
- The join sorts and copies whole rows of the view. Of a million moments and 2 million rows, fetching takes 1.2 times as
  long with 6 numbers, 1.1 with 12, 0.8 with 24 and 0.9 with 12 of which one is a text; of 300,000 moments and 8 million
  rows it takes 0.8 with 6 numbers, 0.6 with a text: the border is at ten features, or one whose size varies.
- With `known_at`, a row that comes late may be older than one that is already there. Only records are joined: rows that
  are no older than any row of their entity available before them. Of the records available at a moment, the last is the
  newest. Rows with the same event timestamp become available in the order of their `known_at`, so that only those which
  become available together are ties.
"""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.columns import descending, extend, is_not_null, named, quoted
from feature_sync.sql.training.rows import entities_steps, rows_step
from feature_sync.sql.training.steps import (
    SPINE,
    Answer,
    Group,
    Plan,
    Question,
    Step,
    answer_of,
    highest_so_far,
    left_join,
    step_table,
)

_MOST_CARRIED = 10
"""The number of features up to which the join carries the row itself."""
_SIZES_VARY = ("string", "bytes", "json", "array", "struct")
"""The kinds of values that it does not carry."""


def asof(group: Group) -> Plan:
    """Join the last row available; where that is not exact or not fast, only its times, by which the row is fetched."""
    fetched = [each for each in group.questions if not _is_carried(each)]
    joins, answers = [], []
    steps = entities_steps(group)
    for question in group.questions:
        steps.append(rows_step(group, question, are_read_twice=question in fetched))
        if _comes_late(question):
            comment = f"{question.reference}: rows no older than all that were available before them."
            steps.append(Step(question.step("records"), _records(question), comment))
    spine = group.spine
    if fetched:
        spine = group.step("asked")
        steps.append(Step(spine, _last_times(group, fetched), "The times of the last row available then."))
    for question in group.questions:
        if question in fetched and not question.query.is_unique:
            comment = f"{question.reference}: the rows of those times, the newest first; {question.age()}."
            steps.append(Step(question.step("newest"), _newest(group, question, spine), comment))
        join, answer = _fetched(group, question) if question in fetched else _carried(group, question)
        joins.append(join)
        answers.append(answer)
    return Plan(steps=steps, spine=spine, joins=joins, answers=answers)


def _comes_late(question: Question) -> bool:
    return question.selection.view.known_at is not None


def _is_carried(question: Question) -> bool:
    """Whether the join finds the row itself: one that is unique, comes in order, and is narrow."""
    kinds = [question.query.feature_types[name].kind for name in question.selection.features]
    is_narrow = len(kinds) <= _MOST_CARRIED and not any(kind in _SIZES_VARY for kind in kinds)
    return question.query.is_unique and not _comes_late(question) and is_narrow


def _carried(group: Group, question: Question) -> tuple[exp.Join, Answer]:
    """Join the row itself; its age is checked afterwards, because an ASOF join accepts no other condition."""
    rows = question.step("rows")
    found = is_not_null(quoted(question.query.event_timestamp_name, of=rows))
    alive = question.alive(quoted(group.names.asked_at, of=SPINE), rows)
    if question.query.has_end:
        alive = [found.copy(), *alive]
    join = left_join(rows, _last_available(group, question, SPINE, rows), method="ASOF")
    return join, answer_of(question, rows, found, holds=exp.and_(*alive) if alive else None)


def _records(question: Question) -> exp.Select:
    """Select the times of the rows that are no older than any row of their entity available before or with them."""
    query, rows = question.query, question.step("rows")
    keys = [quoted(key) for key in query.view.join_keys]
    event_timestamp, available_at = quoted(query.event_timestamp_name), quoted(query.available_at_name)
    order = [available_at, descending(event_timestamp.copy())]
    newest = highest_so_far(event_timestamp.copy(), keys=keys, order=order)
    return (
        exp.select(*keys, event_timestamp, available_at.copy())
        .from_(step_table(rows))
        .qualify(event_timestamp.copy().eq(newest))
    )


def _last_times(group: Group, fetched: list[Question]) -> exp.Select:
    """Add to the spine, for each view, the times of the last row available."""
    spine = group.spine
    asked = exp.select(exp.Column(this=exp.Star(), table=exp.to_identifier(spine, quoted=True))).from_(
        step_table(spine)
    )
    for question in fetched:
        rows = question.step("records" if _comes_late(question) else "rows")
        join = left_join(rows, _last_available(group, question, spine, rows), method="ASOF")
        times = [named(quoted(time, of=rows), name) for time, name in _times(group, question).items()]
        extend(asked, times, [join])
    return asked


def _times(group: Group, question: Question) -> dict[str, str]:
    """Return the times by which a row is fetched, with the names that they have beside the spine."""
    query = question.query
    times = {query.event_timestamp_name: group.names.own(f"{question.prefix}_answered_by")}
    if _comes_late(question) and not query.is_unique:
        times[query.available_at_name] = group.names.own(f"{question.prefix}_answered_at")
    return times


def _newest(group: Group, question: Question, asked: str) -> exp.Select:
    """Number the rows whose times answer any spine row, the newest first."""
    query, rows = question.query, question.step("rows")
    own = [quoted(name, of=rows) for name in (*query.view.join_keys, *_times(group, question))]
    order = exp.Order(expressions=query.tie_order(of=rows))
    number = exp.Window(this=exp.RowNumber(), partition_by=[each.copy() for each in own], order=order)
    answers_something = _has_times(group, question, asked, rows)
    ends = [quoted(query.valid_until_name, of=rows)] if query.has_end else []
    features = [quoted(name, of=rows) for name in question.selection.features]
    return (
        exp.select(*own, *ends, *features, named(number, query.row_number_name))
        .from_(step_table(rows))
        .where(exp.Exists(this=exp.select(exp.Literal.number(1)).from_(step_table(asked)).where(*answers_something)))
    )


def _fetched(group: Group, question: Question) -> tuple[exp.Join, Answer]:
    """Join the row of the times found, or the newest of them."""
    query = question.query
    rows = question.step("rows" if query.is_unique else "newest")
    same = _has_times(group, question, SPINE, rows)
    if not query.is_unique:
        same.append(quoted(query.row_number_name, of=rows).eq(1))
    same += question.alive(quoted(group.names.asked_at, of=SPINE), rows)
    found = is_not_null(quoted(query.event_timestamp_name, of=rows))
    return left_join(rows, same), answer_of(question, rows, found=found)


def _has_times(group: Group, question: Question, asked: str, rows: str) -> list[exp.Expr]:
    """Compare the keys and the times found with those of rows."""
    times = _times(group, question).items()
    same = [quoted(name, of=asked).eq(quoted(time, of=rows)) for time, name in times]
    return [*question.same_keys(asked, rows), *same]


def _last_available(group: Group, question: Question, spine: str, rows: str) -> list[exp.Expr]:
    asked_at = quoted(group.names.asked_at, of=spine)
    available = exp.GTE(this=asked_at, expression=quoted(question.query.available_at_name, of=rows))
    return [*question.same_keys(spine, rows), available]
