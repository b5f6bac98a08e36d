"""The point-in-time join: a spine answered with a feature service, each view by the strategy that suits it."""

from __future__ import annotations

from sqlglot import exp

from feature_sync.definitions import FeatureService, History, Relation, Selection
from feature_sync.errors import RequestError
from feature_sync.sql.columns import column, named, quoted, table, unused
from feature_sync.sql.steps import SPINE, Names, Plan, Question, Step, prefix_for, step_table
from feature_sync.sql.strategies import strategy_for
from feature_sync.sql.times import utc
from feature_sync.sql.types import value_type
from feature_sync.sql.view_query import ViewQuery, check_entity_types
from feature_sync.value_types import ValueType, read_default

_INTEGERS = ("int64", "wideint")


def training_query(
    service: FeatureService, spine: Relation, *, dialect: str, written: str, strategy: str | None = None
) -> exp.Select:
    """Select one row for each spine row: the spine's columns, then the service's features in declared order.

    `dialect` is the warehouse's, whose words the definitions use; `written` the one that the query is for. Without a
    `strategy`, each view gets its best.

    Raises:
        DefinitionError: A column's type cannot be a key, a time or a feature.
        RequestError: The spine lacks a key or its time, types or the strategy do not fit, or names clash.
    """
    queries = [ViewQuery(each.view, dialect=dialect, written=written) for each in service.selections]
    check_entity_types(queries)
    _check(service, spine, queries)
    names = _names(service, spine)
    steps = [Step(SPINE, _spine(spine, names, dialect), "The moments to answer.")]
    shown: list[exp.Expr] = [quoted(name, of=SPINE) for name in spine.columns]
    joins: list[exp.Join] = []
    asked = SPINE
    for selection, query in zip(service.selections, queries, strict=True):
        prefix = prefix_for(selection, [step.name for step in steps])
        answer = strategy_for(selection.view, dialect=written, wanted=strategy)
        plan = answer(Question(selection, query, names, asked, prefix))
        asked = plan.spine
        steps += plan.steps
        joins += plan.joins
        shown += _features(service, selection, query, plan)
    result = exp.select(*shown).from_(exp.alias_(step_table(asked), SPINE, quoted=True, table=True))
    result.set("joins", joins)
    for step in steps:
        first = step.query.this if isinstance(step.query, exp.Union) else step.query
        first.add_comments([step.comment], prepend=True)
        result = result.with_(exp.to_identifier(step.name, quoted=True), as_=step.query, copy=False)
    return result


def _names(service: FeatureService, spine: Relation) -> Names:
    taken = {*spine.columns, *service.feature_names}
    for each in service.selections:
        taken.update((*each.view.relation.columns, *each.view.join_keys))
    return Names(*(unused(name, taken) for name in ("_asked_at", "_moment", "_newest", "_found", "_answered_by")))


def _spine(spine: Relation, names: Names, dialect: str) -> exp.Select:
    kind = value_type(spine.columns[str(spine.event_time)], spine, dialect=dialect)
    asked_at = utc(column(spine, str(spine.event_time)), kind, timezone="UTC")
    columns = [named(column(spine, name), name) for name in spine.columns]
    return exp.select(*columns, named(asked_at, names.asked_at)).from_(table(spine, dialect=dialect))


def _features(service: FeatureService, selection: Selection, query: ViewQuery, plan: Plan) -> list[exp.Expr]:
    """Show the features; a default stands in only where no row answered, never for a null that a row holds."""
    shown: list[exp.Expr] = []
    answered = plan.holds if plan.holds is not None else plan.found
    for name in selection.features:
        value: exp.Expr = quoted(name, of=plan.source)
        default = read_default(query.feature_types[name], selection.view.feature(name).default)
        if default is not None:
            stored = exp.DataType.build(selection.view.relation.columns[name].data_type or "", dialect=query.dialect)
            otherwise = exp.cast(exp.convert(default), stored)
            value = exp.Case(ifs=[exp.If(this=answered.copy(), true=value)], default=otherwise)
        elif plan.holds is not None:
            value = exp.Case(ifs=[exp.If(this=plan.holds.copy(), true=value)])
        shown.append(named(value, service.output_name(selection, name)))
    return shown


def _check(service: FeatureService, spine: Relation, queries: list[ViewQuery]) -> None:
    """Refuse what could only be answered by guessing."""
    asked_for = spine.event_time
    columns = ", ".join(spine.columns)
    if asked_for is None:
        raise RequestError(f"{spine.location}: config.event_time is missing: name the column with the moment asked")
    if asked_for not in spine.columns:
        raise RequestError(
            f"{spine.location}: the spine has no column {asked_for!r} (its event_time); it has {columns}"
        )
    for selection, query in zip(service.selections, queries, strict=True):
        if selection.view.history is History.LATEST_ONLY:
            raise RequestError(_refuse_latest_only(selection))
        for key, spine_key in zip(selection.view.join_keys, selection.spine_keys, strict=True):
            if spine_key not in spine.columns:
                raise RequestError(
                    f"{spine.location}: the spine has no column {spine_key!r}, the key {key} of {selection.alias}; "
                    f"it has {columns}; name another under keys in the feature service"
                )
            mine = value_type(spine.columns[spine_key], spine, dialect=query.dialect)
            if not _comparable(mine, query.key_types[key]):
                raise RequestError(
                    f"{spine.location}: {spine_key!r} is {mine}, but the key {key} of {selection.view.reference} is "
                    f"{query.key_types[key]}; cast one of them in its model"
                )
    folded = {name.casefold(): name for name in spine.columns}
    for name in service.feature_names:
        if name.casefold() in folded:
            raise RequestError(
                f"{spine.location}: the spine has a column {name!r} and so has the service {service.name}; "
                "rename the spine's, or set full_names: true in the feature service"
            )


def _comparable(mine: ValueType, theirs: ValueType) -> bool:
    return mine.kind == theirs.kind or (mine.kind in _INTEGERS and theirs.kind in _INTEGERS)


def _refuse_latest_only(selection: Selection) -> str:
    view = selection.view
    key = view.join_keys[0] if len(view.join_keys) == 1 else f"[{', '.join(view.join_keys)}]"
    snapshot = (
        f"snapshots: [{{name: {view.name}_history, relation: ref('{view.name}'), config: {{unique_key: {key}, "
        "strategy: check, check_cols: all, meta: {feature_view: {entities: ..., features: ..., "
        "valid_from: dbt_valid_from, valid_to: dbt_valid_to}}}}]"
    )
    return (
        f"{view.relation.location}: {view.reference} is latest_only, so it knows no past to train on; "
        f"keep its history with a snapshot and make that the feature view: {snapshot}"
    )
