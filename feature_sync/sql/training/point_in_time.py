"""The point-in-time join: a spine answered with a feature service, each view by the strategy that suits it."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from feature_sync.definitions import FeatureService, History, Period, Selection, Spine
from feature_sync.errors import RequestError
from feature_sync.sql.columns import named, quoted
from feature_sync.sql.dialects import dialect_named
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.scalars import default_value
from feature_sync.sql.training.spine import SpineQuery
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
from feature_sync.sql.training.strategies import Strategy, strategy_for
from feature_sync.sql.types import shown_type
from feature_sync.sql.view_query import ViewQuery, check_entity_types
from feature_sync.value_types import ValueType, read_default
from feature_sync.yaml_lines import write_keys, write_name, write_names

_INTEGERS = ("int64", "wideint")


def training_query(
    service: FeatureService,
    spine: Spine,
    *,
    adapter: str,
    dialect: str | None = None,
    strategy: str | None = None,
    asked: Period | None = None,
) -> exp.Select:
    """Select one row for each spine row: the spine's columns, then the service's features in declared order.

    `adapter` is the warehouse, whose words the definitions use; `dialect` the one that the query is for, if another.
    Without a `strategy`, each view gets its best. The spine is known to ask for moments in `asked` alone (its own
    period unless given), and of the views only rows that can answer those are read.

    Raises:
        DefinitionError: A column's type cannot be a key, a time or a feature.
        RequestError: The spine lacks a key or its time, types or the strategy do not fit, or names clash.
    """
    written = dialect_named(dialect or adapter)
    queries = {
        each.alias: ViewQuery(each.view, adapter=adapter, dialect=written.name, asked=asked or spine.period)
        for each in service.selections
    }
    asking = SpineQuery(spine, adapter=adapter, dialect=written, keys=service.join_keys)
    _check(service, asking, queries)
    _check_lengths(service, written)
    names = _names(service, spine)
    once = True if spine.query is not None and written.materializes else None
    steps = [Step(SPINE, asking.rows(names.asked_at), "The moments to answer.", is_kept=once)]
    joins: list[exp.Join] = []
    answers: dict[str, Answer] = {}
    asked_by = SPINE
    groups = _groups(service, queries, written, strategy)
    prefixes = [question.prefix for _, questions in groups for question in questions]
    for answer, questions in groups:
        plan = answer(_group(questions, names, asked_by, prefixes))
        asked_by = plan.spine
        steps += plan.steps
        joins += plan.joins
        answers |= {each.question.selection.alias: each for each in plan.answers}
    shown: list[exp.Expr] = [
        named(_shown(quoted(name, of=SPINE), column.data_type, adapter), name)
        for name, column in spine.relation.columns.items()
    ]
    for each in service.selections:
        shown += _features(service, answers[each.alias], adapter)
    last = step_table(asked_by)
    result = exp.select(*shown).from_(last if asked_by == SPINE else exp.alias_(last, SPINE, quoted=True, table=True))
    result.set("joins", joins)
    if spine.order_by:
        result = result.order_by(*asking.order(of=SPINE))
    return written.finished(_with_steps(result, steps))


def _names(service: FeatureService, spine: Spine) -> Names:
    taken = {*spine.relation.columns, *service.feature_names}
    for each in service.selections:
        taken.update((*each.view.relation.columns, *each.view.join_keys))
    return names_for(taken)


def _groups(
    service: FeatureService, queries: Mapping[str, ViewQuery], dialect: Dialect, wanted: str | None
) -> list[tuple[Strategy, list[Question]]]:
    """Put views together that are asked with the same columns of the spine, in the same way."""
    prefixes: list[str] = []
    groups: dict[tuple[Strategy, tuple[str, ...]], list[Question]] = {}
    for selection in service.selections:
        prefixes.append(prefix_for(selection.alias, prefixes))
        outputs = {name: service.output_name(selection, name) for name in selection.features}
        question = Question(selection, queries[selection.alias], prefixes[-1], outputs)
        strategy = strategy_for(selection.view, dialect=dialect, wanted=wanted)
        groups.setdefault((strategy, selection.spine_keys), []).append(question)
    return [(strategy, questions) for (strategy, _), questions in groups.items()]


def _group(questions: list[Question], names: Names, spine: str, taken: list[str]) -> Group:
    """Name the steps that views share after their entity; those of a single view carry its own name."""
    if len(questions) == 1:
        return Group(tuple(questions), names, spine, questions[0].prefix)
    entities = "_".join(each.name for each in questions[0].selection.view.entities)
    taken.append(prefix_for(entities, taken))
    return Group(tuple(questions), names, spine, taken[-1])


def _with_steps(result: exp.Select, steps: list[Step]) -> exp.Select:
    for step in steps:
        first = step.query
        while isinstance(first, exp.Union):
            first = first.this
        first.add_comments([step.comment], prepend=True)
        name = exp.to_identifier(step.name, quoted=True)
        result = result.with_(name, as_=step.query, materialized=step.is_kept, copy=False)
    return result


def _features(service: FeatureService, answer: Answer, adapter: str) -> list[exp.Expr]:
    """Show the features; a default stands in only where no row answered, never for a null that a row holds."""
    shown: list[exp.Expr] = []
    selection, query = answer.question.selection, answer.question.query
    answered = answer.holds if answer.holds is not None else answer.found
    for name in selection.features:
        value = answer.values[name]
        default = read_default(query.feature_types[name], selection.view.feature(name).default)
        if default is not None:
            stored = exp.DataType.build(selection.view.relation.columns[name].data_type or "", dialect=adapter)
            otherwise = default_value(default, query.feature_types[name], stored=stored, dialect=query.dialect)
            value = exp.Case(ifs=[exp.If(this=answered.copy(), true=value)], default=otherwise)
        elif answer.holds is not None:
            value = exp.Case(ifs=[exp.If(this=answer.holds.copy(), true=value)])
        data_type = selection.view.relation.columns[name].data_type
        shown.append(named(_shown(value, data_type, adapter), service.output_name(selection, name)))
    return shown


def _shown(value: exp.Expr, data_type: str | None, adapter: str) -> exp.Expr:
    kind = shown_type(data_type, dialect=adapter)
    return value if kind is None else exp.cast(value, kind)


def check_question(service: FeatureService, spine: Spine, *, adapter: str) -> None:
    """Refuse what could only be answered by guessing, before anything is run.

    Raises:
        DefinitionError: A column's type cannot be a key, a time or a feature.
        RequestError: The spine lacks a key or its time, types do not fit, or names clash.
    """
    queries = {each.alias: ViewQuery(each.view, adapter=adapter) for each in service.selections}
    _check(service, SpineQuery(spine, adapter=adapter, dialect=dialect_named(adapter)), queries)
    _check_lengths(service, dialect_named(adapter))


def _check(service: FeatureService, asking: SpineQuery, queries: Mapping[str, ViewQuery]) -> None:
    check_entity_types(queries.values())
    spine = asking.spine.checked().relation
    asking.check_time()
    columns = ", ".join(spine.columns)
    for selection in service.selections:
        if selection.view.history is History.LATEST_ONLY:
            raise RequestError(_refuse_latest_only(selection))
        for key, spine_key in zip(selection.view.join_keys, selection.spine_keys, strict=True):
            if spine_key not in spine.columns:
                raise RequestError(
                    f"{spine.location}: the spine has no column {spine_key!r}, the key {key} of {selection.alias}; "
                    f"it has {columns}; name another under keys in the feature service"
                )
            mine, theirs = asking.key_type(spine_key), queries[selection.alias].key_types[key]
            if not _comparable(mine, theirs):
                raise RequestError(
                    f"{spine.location}: {spine_key!r} is {mine}, but the key {key} of {selection.view.reference} is "
                    f"{theirs}; cast one of them in its model"
                )
    folded = {name.casefold(): name for name in spine.columns}
    for name in service.feature_names:
        if name.casefold() in folded:
            raise RequestError(
                f"{spine.location}: the spine has a column {folded[name.casefold()]!r} and so has the service "
                f"{service.name}; "
                "rename the spine's, or set full_names: true in the feature service"
            )


def _check_lengths(service: FeatureService, dialect: Dialect) -> None:
    for name in service.feature_names:
        size = len(name.encode())
        if dialect.longest_name is not None and size > dialect.longest_name:
            raise RequestError(
                f"{service.name}: the name {name!r} is {size} bytes long, of which {dialect.name} keeps "
                f"{dialect.longest_name}; give its view a shorter alias in the feature service: "
                "short_name: {view: ..., features: [...]}"
            )


def _comparable(mine: ValueType, theirs: ValueType) -> bool:
    return mine.kind == theirs.kind or (mine.kind in _INTEGERS and theirs.kind in _INTEGERS)


def _refuse_latest_only(selection: Selection) -> str:
    view = selection.view
    version = f", v={view.version}" if view.version else ""
    entities = ", ".join(f"{write_name(each.name)}: {write_keys(each.join_keys)}" for each in view.entities)
    settings = f"entities: {{{entities}}}, features: {write_names(selection.features)}"
    snapshot = (
        f"snapshots: [{{name: {view.name}_history, relation: \"ref('{view.name}'{version})\", config: "
        f"{{unique_key: {write_keys(view.join_keys)}, strategy: check, check_cols: all, "
        f"meta: {{feature_view: {{{settings}}}}}}}}}]"
    )
    return (
        f"{view.relation.location}: {view.reference} is latest_only, so it knows no past to train on; keep its history "
        f"from now on with a snapshot, and put {view.name}_history into the service; in a file below snapshots/: "
        f"{snapshot}"
    )
