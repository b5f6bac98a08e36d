"""Bucket: the strategy of PostgreSQL without an index, which never sorts a view's rows.

The moments asked of an entity form one sorted array. A binary search finds, for each row of the entity, the first of
them at which the row was available. Rows with the same such moment share a bucket, of which only the newest event
timestamp is kept: no more values than moments asked. These are carried on to the moments whose buckets are empty. The
newest row is always in the last bucket, because rows become available in the order of their event timestamps.
"""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.columns import ascending, extend, named, quoted
from feature_sync.sql.dialects.base import call
from feature_sync.sql.training.rows import rows_step
from feature_sync.sql.training.steps import Group, Plan, Question, Step, highest_so_far, left_join, step_table

_ONE = exp.Literal.number(1)


def bucket(group: Group) -> Plan:
    """Put each view's rows into the buckets of the moments asked, carry the newest timestamps, look up their rows."""
    references, questions = group.references, group.questions
    steps = [
        Step(group.step("asked"), _asked(group), f"{references}: the moments asked, key by key, each with its place."),
        Step(group.step("moments"), _moments(group), "The moments of one entity side by side, the earliest first."),
    ]
    for each in questions:
        comment = f"{each.reference}: the newest rows of those that first count at the same moment asked."
        steps.append(rows_step(group, each, are_read_twice=True))
        steps.append(Step(each.step("buckets"), _buckets(group, each), comment))
    steps.append(Step(group.step("carried"), _carried(group), "For each moment asked, the last place that has a row."))
    for each in questions:
        comment = f"{each.reference}: the rows of those timestamps, the newest of each."
        steps.append(Step(each.step("newest"), _newest(group, each), comment))
    ages = "; ".join(f"{each.reference}: {each.age()}" for each in questions)
    return group.join_answers([*steps, Step(group.step("answers"), _answers(group), ages)])


def _number(group: Group) -> str:
    """Name the column with the number of a moment asked; the numbers of one entity are consecutive."""
    return group.names.own("_place")


def _last_number(group: Group, question: Question) -> str:
    return group.names.own(f"{question.prefix}_place")


def _timestamp(group: Group, question: Question) -> str:
    return group.names.own(f"{question.prefix}_event_timestamp")


def _keys(group: Group, *, of: str | None = None) -> list[exp.Expr]:
    return [quoted(key, of=of) for key in dict.fromkeys(group.spine_keys)]


def _asked(group: Group) -> exp.Select:
    columns = [*_keys(group), quoted(group.names.moment)]
    in_order = exp.Order(expressions=[ascending(each.copy()) for each in columns])
    number = exp.Window(this=exp.RowNumber(), order=in_order)
    asked = group.moments_asked().subquery(exp.to_identifier("asked", quoted=True))
    return exp.select(*columns, named(number, _number(group))).from_(asked)


def _moments(group: Group) -> exp.Select:
    names, moment = group.names, quoted(group.names.moment)
    in_order = exp.Order(this=moment, expressions=[ascending(moment.copy())])
    return (
        exp.select(
            *_keys(group),
            named(exp.Min(this=quoted(_number(group))), names.own("_first_place")),
            named(exp.Max(this=moment.copy()), names.own("_last_moment")),
            named(exp.ArrayAgg(this=in_order), names.own("_moments")),
        )
        .from_(step_table(group.step("asked")))
        .group_by(*_keys(group))
    )


def _buckets(group: Group, question: Question) -> exp.Select:
    """Find each row's bucket: the number of the first moment asked at which it is available.

    `WIDTH_BUCKET` counts the moments up to a value, inclusive; for a value one microsecond earlier, it counts the
    moments before the value. The number is at most the last one: only a moment asked at infinity finds a row that
    becomes available there, and a microsecond before infinity is infinity.
    """
    names, rows, moments = group.names, question.step("rows"), group.step("moments")
    available_at = quoted(question.query.available_at_name, of=rows)
    array = quoted(names.own("_moments"), of=moments)
    a_microsecond = exp.Interval(this=exp.Literal.string("1"), unit=exp.var("MICROSECOND"))
    before = call("WIDTH_BUCKET", exp.Sub(this=available_at, expression=a_microsecond), array)
    at_most = exp.Sub(this=call("CARDINALITY", array.copy()), expression=_ONE.copy())
    first = quoted(names.own("_first_place"), of=moments)
    number = exp.Add(this=first, expression=exp.Least(this=before, expressions=[at_most], ignore_nulls=True))
    is_asked = exp.LTE(this=available_at.copy(), expression=quoted(names.own("_last_moment"), of=moments))
    newest = exp.Max(this=quoted(question.query.event_timestamp_name, of=rows))
    return (
        exp.select(named(number, _number(group)), named(newest, _timestamp(group, question)))
        .from_(step_table(rows), copy=False)
        .join(step_table(moments), on=exp.and_(*question.same_keys(moments, rows), is_asked), copy=False)
        .group_by(_ONE.copy(), copy=False)
    )


def _carried(group: Group) -> exp.Select:
    """Carry the number of the last bucket that is not empty along the moments of an entity, for each view."""
    asked, number = group.step("asked"), quoted(_number(group), of=group.step("asked"))
    carried = exp.select(*_keys(group, of=asked), quoted(group.names.moment, of=asked), number).from_(step_table(asked))
    for question in group.questions:
        buckets = question.step("buckets")
        last = highest_so_far(quoted(_number(group), of=buckets), keys=_keys(group, of=asked), order=[number])
        columns = [quoted(_timestamp(group, question), of=buckets), named(last, _last_number(group, question))]
        extend(carried, columns, [left_join(buckets, [quoted(_number(group), of=buckets).eq(number)])])
    return carried


def _newest(group: Group, question: Question) -> exp.Select:
    """Select one row for each bucket that is not empty; the order of the definition decides between ties."""
    query, rows, carried = question.query, question.step("rows"), group.step("carried")
    number = quoted(_number(group), of=carried)
    event_timestamp = quoted(query.event_timestamp_name, of=rows)
    same = [*question.same_keys(carried, rows), event_timestamp.eq(quoted(_timestamp(group, question), of=carried))]
    ends = [quoted(query.valid_until_name, of=rows)] if query.has_end else []
    features = [quoted(name, of=rows) for name in question.selection.features]
    newest = exp.select(number, event_timestamp.copy(), *ends, *features).from_(step_table(carried), copy=False)
    ties = [] if query.is_unique else query.tie_order(of=rows)
    return (
        newest.join(step_table(rows), on=exp.and_(*same), copy=False)
        .distinct(number.copy(), copy=False)
        .order_by(ascending(number.copy()), *ties, copy=False)
    )


def _answers(group: Group) -> exp.Select:
    carried = group.step("carried")
    answers = group.begin_answers(carried)
    for question in group.questions:
        newest = question.step("newest")
        same = quoted(_number(group), of=newest).eq(quoted(_last_number(group, question), of=carried))
        alive = question.alive(quoted(group.names.moment, of=carried), newest)
        extend(group.select_answer(answers, question, newest), (), [left_join(newest, [same, *alive])])
    return answers
