"""Carry: linear in rows, and right in every warehouse.

Each view's rows are numbered from the oldest to the newest. The moments at which rows became available and the moments
asked are put in one line per entity; the highest number so far is carried along it, so each asked moment meets the
newest row that was available, without an inequality join.
"""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.columns import named, quoted
from feature_sync.sql.steps import Plan, Question, Step, step_table


def carry(question: Question) -> Plan:
    """Number the rows, carry the highest number along, look up the row behind it."""
    reference = question.selection.view.reference
    numbered = question.query.rows(newest_first=False, across_entities=_numbers_across_entities(question))
    return question.join_answers(
        [
            Step(
                question.step("rows"),
                numbered,
                f"{reference}: rows that can answer, numbered from the oldest to the newest.",
            ),
            Step(question.step("line"), _line(question), "When rows became available, and when they are asked for."),
            Step(
                question.step("carried"),
                _carried(question),
                "The newest row available so far, carried to each moment.",
            ),
            Step(question.step("answers"), _answers(question), f"{reference}: the answers, {question.age()}."),
        ]
    )


def _numbers_across_entities(question: Question) -> bool:
    """Tell whether a row's number alone should find it.

    PostgreSQL misjudges how many rows the steps leave, and then merges on the keys alone: every moment asked would meet
    every row of its entity. Elsewhere, numbering within each entity is the cheaper sort, and it distributes.
    """
    return question.query.written == "postgres"


def _line(question: Question) -> exp.Query:
    query = question.query
    available = exp.select(
        *(quoted(key) for key in query.view.join_keys),
        named(quoted(query.available_at_name), question.names.moment),
        quoted(query.newness_name),
    ).from_(step_table(question.step("rows")))
    no_row = named(exp.cast(exp.null(), "bigint"), query.newness_name)
    return exp.union(available, question.moments_asked().select(no_row), distinct=False)


def _carried(question: Question) -> exp.Select:
    """Carry the highest number along; the window's default frame takes in all rows of the same moment."""
    query, names = question.query, question.names
    keys = [quoted(key) for key in query.view.join_keys]
    newest = exp.Window(
        this=exp.Max(this=quoted(query.newness_name)),
        partition_by=[key.copy() for key in keys],
        order=exp.Order(expressions=[exp.Ordered(this=quoted(names.moment))]),
    )
    columns = [*keys, quoted(names.moment), quoted(query.newness_name), named(newest, names.newest)]
    return exp.select(*columns).from_(step_table(question.step("line")))


def _answers(question: Question) -> exp.Select:
    query, names = question.query, question.names
    rows, carried = question.step("rows"), question.step("carried")
    moment = quoted(names.moment, of=carried)
    was_asked = quoted(query.newness_name, of=carried).is_(exp.null())
    same = [quoted(query.newness_name, of=rows).eq(quoted(names.newest, of=carried))]
    if not _numbers_across_entities(question):
        same = [*(quoted(key, of=rows).eq(quoted(key, of=carried)) for key in query.view.join_keys), *same]
    return (
        question.answers(rows)
        .select(moment)
        .from_(step_table(carried))
        .join(step_table(rows), on=exp.and_(*same))
        .where(was_asked, *question.alive(moment, rows))
    )
