"""The point-in-time join: a spine answered with a feature service, each view by a strategy of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlglot import exp

from feature_sync.definitions import FeatureService, Period, Spine
from feature_sync.sql.columns import TakenNames, named, quoted
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.scalars import default_value
from feature_sync.sql.training.join import PointInTimeJoin
from feature_sync.sql.training.steps import (
    SPINE,
    Answer,
    Group,
    Names,
    Question,
    Step,
    names_for,
    prefix_for,
    step_table,
)
from feature_sync.sql.training.strategies import RESTRICTED, Strategy, strategy_for
from feature_sync.sql.types import output_type
from feature_sync.sql.view_query import ViewQuery
from feature_sync.value_types import read_default


def training_query(
    join: PointInTimeJoin,
    *,
    strategy: str | None = None,
    asked: Period | None = None,
    restricted: Collection[str] | None = None,
) -> exp.Select:
    """Select one row for each spine row: the spine's columns, then the service's features in declared order.

    Args:
        join: The spine and the service.
        strategy: The name of a strategy; None for each view's best.
        asked: The period of the moments asked, if known more precisely than the spine's own period; only rows of the
                        views that can answer in it are read.
        restricted: The aliases of the views of which only rows of the spine's entities are read, which pays where the
            spine has few of them; None for all if the spine has a sample or a limit, and else none.

    Raises:
        RequestError: The dialect or a view does not support the strategy.
    """
    service, spine, dialect, spine_query = join.service, join.spine, join.dialect, join.spine_query
    queries = join.bounded(asked or spine.period)
    names = _names(service, spine)
    # A query may return other rows when it is evaluated again, such as one with random().
    once = True if spine.query is not None and dialect.materializes else None
    steps = [Step(SPINE, spine_query.rows(names.asked_at), "The moments to answer.", is_kept=once)]
    joins: list[exp.Join] = []
    answers: dict[str, Answer] = {}
    spine_step = SPINE
    if restricted is None:
        restricted = [each.alias for each in service.selections] if spine.is_partial else []
    prefixes = TakenNames()
    groups = _groups(service, queries, dialect, strategy, prefixes, restricted)
    for answer, questions in groups:
        plan = answer(_group(questions, names, spine_step, prefixes))
        spine_step = plan.spine
        steps += plan.steps
        joins += plan.joins
        answers |= {each.question.selection.alias: each for each in plan.answers}
    selected: list[exp.Expr] = [
        named(_output(quoted(name, of=SPINE), column.data_type, join.native), name)
        for name, column in spine.relation.columns.items()
    ]
    for each in service.selections:
        selected += _features(service, answers[each.alias])
    last = step_table(spine_step)
    result = exp.select(*selected).from_(
        last if spine_step == SPINE else exp.alias_(last, SPINE, quoted=True, table=True), copy=False
    )
    result.set("joins", joins)
    if spine.order_by:
        result = result.order_by(*spine_query.order(of=SPINE), copy=False)
    return dialect.finished(_with_steps(result, steps))


def _names(service: FeatureService, spine: Spine) -> Names:
    taken = {*spine.relation.columns, *service.feature_names}
    for each in service.selections:
        taken.update((*each.view.relation.columns, *each.view.join_keys))
    return names_for(taken)


def _groups(
    service: FeatureService,
    queries: Mapping[str, ViewQuery],
    dialect: Dialect,
    wanted: str | None,
    prefixes: TakenNames,
    restricted: Collection[str],
) -> list[tuple[Strategy, list[Question]]]:
    """Group the views that are asked with the same columns of the spine by the same strategy."""
    groups: dict[tuple[Strategy, tuple[str, ...]], list[Question]] = {}
    for selection in service.selections:
        outputs = {name: service.output_name(selection, name) for name in selection.features}
        prefix = prefix_for(selection.alias, prefixes)
        strategy = strategy_for(selection.view, dialect=dialect, wanted=wanted)
        is_restricted = selection.alias in restricted and strategy in RESTRICTED
        question = Question(selection, queries[selection.view.reference], prefix, outputs, is_restricted=is_restricted)
        groups.setdefault((strategy, selection.spine_keys), []).append(question)
    return [(strategy, questions) for (strategy, _), questions in groups.items()]


def _group(questions: list[Question], names: Names, spine: str, prefixes: TakenNames) -> Group:
    """Make a group, whose shared steps are named after the entity, or after the view if it has only one."""
    if len(questions) == 1:
        return Group(tuple(questions), names, spine, questions[0].prefix)
    entities = "_".join(each.name for each in questions[0].selection.view.entities)
    return Group(tuple(questions), names, spine, prefix_for(entities, prefixes))


def _with_steps(result: exp.Select, steps: list[Step]) -> exp.Select:
    named_steps: list[exp.CTE] = []
    for step in steps:
        # Of a union, only a comment on its first SELECT is written at the beginning of the step.
        first = step.query
        while isinstance(first, exp.Union):
            first = first.this
        first.add_comments([step.comment], prepend=True)
        alias = exp.TableAlias(this=exp.to_identifier(step.name, quoted=True))
        named_steps.append(exp.CTE(this=step.query, alias=alias, materialized=step.is_kept))
    # At once: `with_` would make a new list of all steps for each of them.
    result.set("with_", exp.With(expressions=named_steps))
    return result


def _features(service: FeatureService, answer: Answer) -> list[exp.Expr]:
    """Select the features; a default applies only if no row answered, never to a null in a row that answered."""
    selected: list[exp.Expr] = []
    selection, query = answer.question.selection, answer.question.query
    answered = answer.holds if answer.holds is not None else answer.found
    for name in selection.features:
        value = answer.values[name]
        default = read_default(query.feature_types[name], selection.view.feature(name).default)
        if default is not None:
            stored = exp.DataType.build(
                selection.view.relation.columns[name].data_type or "", dialect=query.native.name
            )
            otherwise = default_value(default, query.feature_types[name], stored=stored, dialect=query.dialect)
            value = exp.Case(ifs=[exp.If(this=answered.copy(), true=value)], default=otherwise)
        elif answer.holds is not None:
            value = exp.Case(ifs=[exp.If(this=answer.holds.copy(), true=value)])
        data_type = selection.view.relation.columns[name].data_type
        selected.append(named(_output(value, data_type, query.native), service.output_name(selection, name)))
    return selected


def _output(value: exp.Expr, data_type: str | None, native: Dialect) -> exp.Expr:
    kind = output_type(data_type, dialect=native)
    return value if kind is None else exp.cast(value, kind)
