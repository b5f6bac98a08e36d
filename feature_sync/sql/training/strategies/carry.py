"""Carry: linear in the number of rows, and supported by every warehouse.

Each view's rows are numbered from the oldest to the newest. The moments at which rows became available and the moments
asked form one line per entity, along which the highest number so far is carried: at each moment asked it is the newest
row available, without an inequality join. All views of an entity share the line and its single sort.
"""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.columns import extend, named, quoted
from feature_sync.sql.training.rows import entities_steps, restricted
from feature_sync.sql.training.steps import Group, Plan, Question, Step, highest_so_far, left_join, step_table


def carry(group: Group) -> Plan:
    """Number the rows, carry the highest numbers along the line, look up their rows."""
    steps = entities_steps(group)
    steps += [
        Step(
            question.step("rows"),
            restricted(group, question, _numbered(question)),
            f"{question.reference}: rows that can answer, numbered from the oldest to the newest.",
        )
        for question in group.questions
    ]
    steps += [
        Step(group.step("line"), _line(group), "When rows became available, and when they are asked for."),
        Step(group.step("carried"), _carried(group), "The newest row available so far, carried to each moment."),
        Step(
            group.step("answers"),
            _answers(group),
            "; ".join(f"{each.reference}: {each.age()}" for each in group.questions),
        ),
    ]
    return group.join_answers(steps)


def _numbered(question: Question) -> exp.Select:
    return question.query.rows(
        newest_first=False,
        features=question.selection.features,
        across_entities=question.query.dialect.numbers_across_entities,
    )


def _number(group: Group, question: Question) -> str:
    """Name the column that carries a view's numbers along the line."""
    return group.names.own(f"{question.prefix}_row")


def _no_number(question: Question) -> exp.Expr:
    return exp.cast(exp.null(), question.query.dialect.number_type, dialect=question.query.dialect.name)


def _line(group: Group) -> exp.Query:
    # Each view's part has a null for each other view: made once and shared, as `render` copies before it writes.
    no_number = _no_number(group.questions[0])
    nothing = [named(no_number, _number(group, each)) for each in group.questions]
    parts = [_available(group, at, nothing) for at in range(len(group.questions))]
    asked = group.moments_asked().select(named(exp.true(), group.names.is_asked), *nothing)
    return exp.union(*parts, asked, distinct=False, copy=False)


def _available(group: Group, at: int, nothing: list[exp.Expr]) -> exp.Select:
    """Select when each row of the view at a place became available, with its number; `nothing` for all other views."""
    names, question = group.names, group.questions[at]
    query = question.query
    keys: dict[str, str] = {}
    same = [
        quoted(keys[key]).eq(quoted(join_key))
        for key, join_key in question.key_pairs()
        if keys.setdefault(key, join_key) != join_key  # one column of the spine holds two keys
    ]
    number = named(quoted(query.row_number_name), _number(group, question))
    available = exp.select(
        *(named(quoted(join_key), key) for key, join_key in keys.items()),
        named(quoted(query.available_at_name), names.moment),
        named(exp.false(), names.is_asked),
        *nothing[:at],
        number,
        *nothing[at + 1 :],
    ).from_(step_table(question.step("rows")), copy=False)
    return available.where(*same) if same else available


def _carried(group: Group) -> exp.Select:
    """Carry the highest numbers along the line; a row available exactly at the moment asked sorts before it."""
    names = group.names
    keys = [quoted(key) for key in dict.fromkeys(group.spine_keys)]
    order = [quoted(names.moment), quoted(names.is_asked)]
    carried = exp.select(*keys, quoted(names.moment), quoted(names.is_asked)).from_(step_table(group.step("line")))
    for question in group.questions:
        number = _number(group, question)
        extend(carried, [named(highest_so_far(quoted(number), keys=keys, order=order), number)])
    return carried


def _answers(group: Group) -> exp.Select:
    carried = group.step("carried")
    answers = group.begin_answers(carried).where(quoted(group.names.is_asked, of=carried))
    for question in group.questions:
        rows, query = question.step("rows"), question.query
        same: list[exp.Expr] = [quoted(query.row_number_name, of=rows).eq(quoted(_number(group, question), of=carried))]
        if not query.dialect.numbers_across_entities:
            same = [*question.same_keys(carried, rows), *same]
        alive = question.alive(quoted(group.names.moment, of=carried), rows)
        extend(group.select_answer(answers, question, rows), (), [left_join(rows, [*same, *alive])])
    return answers
