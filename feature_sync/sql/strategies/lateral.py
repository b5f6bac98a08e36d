"""Lateral: looks the newest row up for one moment after the other, fast where an index leads to it, else endless."""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.columns import named, quoted
from feature_sync.sql.steps import Plan, Question, Step, step_table


def lateral(question: Question) -> Plan:
    """For each pair of keys and moment asked, walk the index down to the newest row available."""
    reference = question.selection.view.reference
    asked, answers = question.step("asked"), question.step("answers")
    return question.join_answers(
        [
            Step(asked, question.moments_asked(), f"{reference}: the moments asked."),
            Step(answers, _answers(question), f"{reference}: the newest row available at each, {question.age()}."),
        ]
    )


def _answers(question: Question) -> exp.Select:
    query, asked = question.query, question.step("asked")
    moment = quoted(question.names.moment, of=asked)
    row = question.step("row")
    newest = query.newest_row({key: quoted(key, of=asked) for key in query.view.join_keys}, moment)
    looked_up = exp.Lateral(this=newest.subquery(), alias=exp.TableAlias(this=exp.to_identifier(row, quoted=True)))
    return (
        exp.select(*(quoted(key, of=asked) for key in query.view.join_keys), moment)
        .select(
            *(quoted(name, of=row) for name in question.selection.features), named(exp.true(), question.names.found)
        )
        .from_(step_table(asked))
        .join(looked_up, join_type="cross")
        .where(*question.alive(moment, row))
    )
