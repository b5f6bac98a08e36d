"""Lateral: looks up the newest row for each moment asked; fast with an index on keys and time, very slow without."""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.columns import ascending, extend, quoted
from feature_sync.sql.training.steps import Group, Plan, Step


def lateral(group: Group) -> Plan:
    """Look up the newest row available in each view's index, for each pair of keys and moment asked."""
    ages = "; ".join(f"{each.reference}: the newest row available, {each.age()}" for each in group.questions)
    return group.join_answers(
        [
            Step(group.step("asked"), _asked(group), f"{group.references}: the moments asked, key by key."),
            Step(group.step("answers"), _answers(group), f"{ages}."),
        ]
    )


def _asked(group: Group) -> exp.Select:
    """Order the moments as the index does, so that a lookup finds the pages of the previous one in memory."""
    keys = dict.fromkeys(group.spine_keys)
    return group.moments_asked().order_by(*(ascending(quoted(name)) for name in (*keys, group.names.moment)))


def _answers(group: Group) -> exp.Select:
    asked = group.step("asked")
    answers = group.begin_answers(asked)
    for question in group.questions:
        row = question.step("row")
        moment = quoted(group.names.moment, of=asked)
        keys: dict[str, exp.Expr] = {join_key: quoted(key, of=asked) for key, join_key in question.key_pairs()}
        newest = question.query.newest_row(keys, moment, features=question.selection.features)
        alias = exp.to_identifier(row, quoted=True)
        if alive := question.alive(moment, row):
            # Not as the join's condition: DuckDB 1.5 accepts only plain comparisons there, and no OR.
            selected = [quoted(name, of=row) for name in newest.named_selects]
            newest = exp.select(*selected).from_(newest.subquery(alias, copy=False)).where(*alive, copy=False)
        looked_up = exp.Lateral(this=newest.subquery(copy=False), alias=exp.TableAlias(this=alias.copy()))
        join = exp.Join(this=looked_up, side="LEFT", on=exp.true())
        extend(group.select_answer(answers, question, row), (), [join])
    return answers
