"""The point-in-time join: a spine answered with a feature service, by the strategy called carry.

Each view's rows are numbered from the oldest to the newest. The moments at which rows became available and the moments
asked are put in one line per entity; the highest number so far is carried along it, so each asked moment meets the
newest row that was available, without an inequality join.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sqlglot import exp

from feature_sync.definitions import FeatureService, History, Relation, Selection, format_duration
from feature_sync.errors import RequestError
from feature_sync.sql.columns import column, is_not_null, named, quoted, table, unused
from feature_sync.sql.times import earlier, utc
from feature_sync.sql.types import value_type
from feature_sync.sql.view_query import ViewQuery, check_entity_types
from feature_sync.value_types import ValueType, read_default

_SPINE = "spine"
_INTEGERS = ("int64", "wideint")


@dataclass(frozen=True, slots=True)
class Names:
    """Names for the query's own columns, which no column of a spine or a view has."""

    asked_at: str
    moment: str
    newest: str
    found: str


class Step(NamedTuple):
    """One named step of the query, and the comment that explains it."""

    name: str
    query: exp.Query
    comment: str


def training_query(service: FeatureService, spine: Relation, *, dialect: str, written: str) -> exp.Select:
    """Select one row for each spine row: the spine's columns, then the service's features in declared order.

    `dialect` is the warehouse's, whose words the definitions use; `written` the one that the query is for.

    Raises:
        DefinitionError: A column's type cannot be a key, a time or a feature.
        RequestError: The spine lacks a key or its time, its types do not fit, or names clash.
    """
    queries = [ViewQuery(each.view, dialect=dialect, written=written) for each in service.selections]
    check_entity_types(queries)
    _check(service, spine, queries)
    taken = {*spine.columns, *service.feature_names}
    for each in service.selections:
        taken.update((*each.view.relation.columns, *each.view.join_keys))
    names = Names(*(unused(name, taken) for name in ("_asked_at", "_moment", "_newest", "_found")))
    result = exp.select(*(quoted(name, of=_SPINE) for name in spine.columns)).from_(_named_table(_SPINE))
    steps = [Step(_SPINE, _spine(spine, names, dialect), "The moments to answer.")]
    for selection, query in zip(service.selections, queries, strict=True):
        steps += _steps(selection, query, names, _prefix(selection, [step.name for step in steps]))
        answers = steps[-1].name
        result = result.select(*_features(service, selection, query, answers, names), copy=False)
        result = result.join(_named_table(answers), on=_match(selection, answers, names), join_type="left", copy=False)
    for step in steps:
        first = step.query.this if isinstance(step.query, exp.Union) else step.query
        first.add_comments([step.comment], prepend=True)
        result = result.with_(exp.to_identifier(step.name, quoted=True), as_=step.query, copy=False)
    return result


def _spine(spine: Relation, names: Names, dialect: str) -> exp.Select:
    kind = value_type(spine.columns[str(spine.event_time)], spine, dialect=dialect)
    asked_at = utc(column(spine, str(spine.event_time)), kind, timezone="UTC")
    columns = [named(column(spine, name), name) for name in spine.columns]
    return exp.select(*columns, named(asked_at, names.asked_at)).from_(table(spine, dialect=dialect))


def _steps(selection: Selection, query: ViewQuery, names: Names, prefix: str) -> list[Step]:
    """Make the named steps of one view, the last of which holds the answers."""
    reference, rows = selection.view.reference, f"{prefix}_rows"
    if selection.view.history is History.TIMELESS:
        first = quoted(query.newness_name, of=rows).eq(1)
        answers = _answer_columns(query, selection, rows, names).from_(_named_table(rows)).where(first)
        return [
            Step(rows, query.rows(newest_first=True), f"{reference}: facts that answer any moment."),
            Step(f"{prefix}_answers", answers, f"{reference}: one row per entity."),
        ]
    numbered = query.rows(newest_first=False, across_entities=_numbers_across_entities(query))
    line, carried = _line(selection, query, names, prefix), _carried(query, names, prefix)
    return [
        Step(rows, numbered, f"{reference}: rows that can answer, numbered from the oldest to the newest."),
        Step(f"{prefix}_line", line, "When rows became available, and when they are asked for."),
        Step(f"{prefix}_carried", carried, "The newest row available so far, carried to each moment."),
        Step(f"{prefix}_answers", _answers(selection, query, names, prefix), _answer_comment(selection)),
    ]


def _numbers_across_entities(query: ViewQuery) -> bool:
    """Tell whether a row's number alone should find it.

    PostgreSQL misjudges how many rows the steps leave, and then merges on the keys alone: every moment asked would meet
    every row of its entity. Elsewhere, numbering within each entity is the cheaper sort, and it distributes.
    """
    return query.written == "postgres"


def _line(selection: Selection, query: ViewQuery, names: Names, prefix: str) -> exp.Query:
    keys = selection.view.join_keys
    available = exp.select(
        *(quoted(key) for key in keys), named(quoted(query.available_at_name), names.moment), quoted(query.newness_name)
    ).from_(_named_table(f"{prefix}_rows"))
    asked = (
        exp.select(
            *(named(quoted(spine_key), key) for key, spine_key in zip(keys, selection.spine_keys, strict=True)),
            named(quoted(names.asked_at), names.moment),
            named(exp.cast(exp.null(), "bigint"), query.newness_name),
        )
        .distinct()
        .from_(_named_table(_SPINE))
        .where(*(is_not_null(quoted(name)) for name in (*dict.fromkeys(selection.spine_keys), names.asked_at)))
    )
    return exp.union(available, asked, distinct=False)


def _carried(query: ViewQuery, names: Names, prefix: str) -> exp.Select:
    """Carry the highest number along; the window's default frame takes in all rows of the same moment."""
    keys = query.view.join_keys
    newest = exp.Window(
        this=exp.Max(this=quoted(query.newness_name)),
        partition_by=[quoted(key) for key in keys],
        order=exp.Order(expressions=[exp.Ordered(this=quoted(names.moment))]),
    )
    columns = [
        *(quoted(key) for key in keys),
        quoted(names.moment),
        quoted(query.newness_name),
        named(newest, names.newest),
    ]
    return exp.select(*columns).from_(_named_table(f"{prefix}_line"))


def _answers(selection: Selection, query: ViewQuery, names: Names, prefix: str) -> exp.Select:
    rows, carried = f"{prefix}_rows", f"{prefix}_carried"
    moment = quoted(names.moment, of=carried)
    conditions: list[exp.Expr] = [quoted(query.newness_name, of=carried).is_(exp.null())]
    if selection.view.ttl is not None:
        oldest = earlier(moment.copy(), selection.view.ttl)
        conditions.append(exp.GTE(this=quoted(query.event_timestamp_name, of=rows), expression=oldest))
    if query.has_end:
        valid_until = quoted(query.valid_until_name, of=rows)
        alive = exp.LT(this=earlier(moment.copy(), selection.view.lag), expression=valid_until)
        conditions.append(exp.or_(valid_until.copy().is_(exp.null()), alive))
    same = [quoted(query.newness_name, of=rows).eq(quoted(names.newest, of=carried))]
    if not _numbers_across_entities(query):
        same = [*(quoted(key, of=rows).eq(quoted(key, of=carried)) for key in query.view.join_keys), *same]
    return (
        _answer_columns(query, selection, rows, names)
        .select(moment)
        .from_(_named_table(carried))
        .join(_named_table(rows), on=exp.and_(*same))
        .where(*conditions)
    )


def _answer_columns(query: ViewQuery, selection: Selection, rows: str, names: Names) -> exp.Select:
    columns = [quoted(name, of=rows) for name in (*query.view.join_keys, *selection.features)]
    return exp.select(*columns, named(exp.true(), names.found))


def _match(selection: Selection, answers: str, names: Names) -> exp.Expr:
    """Join on plain equality of typed columns, so that a null key or moment matches nothing."""
    pairs = zip(selection.spine_keys, selection.view.join_keys, strict=True)
    same: list[exp.Expr] = [quoted(mine, of=_SPINE).eq(quoted(theirs, of=answers)) for mine, theirs in pairs]
    asked_at = quoted(names.asked_at, of=_SPINE)
    if selection.view.history is History.TIMELESS:
        same.append(is_not_null(asked_at.copy()))
    else:
        same.append(asked_at.eq(quoted(names.moment, of=answers)))
    return exp.and_(*same)


def _features(
    service: FeatureService, selection: Selection, query: ViewQuery, answers: str, names: Names
) -> list[exp.Expr]:
    """Show the features; a default stands in only where no row answered, never for a null that a row holds."""
    shown: list[exp.Expr] = []
    for name in selection.features:
        value: exp.Expr = quoted(name, of=answers)
        default = read_default(query.feature_types[name], selection.view.feature(name).default)
        if default is not None:
            stored = exp.DataType.build(selection.view.relation.columns[name].data_type or "", dialect=query.dialect)
            answered = exp.If(this=quoted(names.found, of=answers), true=value)
            value = exp.Case(ifs=[answered], default=exp.cast(exp.convert(default), stored))
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


def _answer_comment(selection: Selection) -> str:
    ttl = selection.view.ttl
    age = "of any age" if ttl is None else f"no older than {format_duration(ttl)}"
    return f"{selection.view.reference}: the answers, {age}."


def _prefix(selection: Selection, taken: list[str]) -> str:
    """Name a view's steps after its alias: short enough for every warehouse, and unlike the steps before."""
    steps = ("rows", "line", "carried", "answers")
    prefix = selection.alias.encode()[:40].decode(errors="ignore")
    while {f"{prefix}_{step}".casefold() for step in steps} & {each.casefold() for each in taken}:
        prefix = f"{prefix}_"
    return prefix


def _named_table(name: str) -> exp.Table:
    return exp.Table(this=exp.to_identifier(name, quoted=True))
