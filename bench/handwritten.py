"""What people write by hand: the peers that are plain SQL."""

from __future__ import annotations

from collections.abc import Iterable

from bench.data import extra_features
from bench.product import FEATURES

_DISTINCT = (
    "(select * from view_{0} qualify row_number() over "
    "(partition by entity_id, happened_at order by amount_{0} desc nulls last, count_{0} desc nulls last) = 1)"
)


def asof(views: Iterable[int], extras: int = 0) -> str:
    """Join ASOF, as one does on DuckDB; right only where no two rows of an entity share a timestamp."""
    return _asof({number: f"view_{number}" for number in views}, extras)


def asof_of_distinct(views: Iterable[int], extras: int = 0) -> str:
    """Join ASOF the rows that remain when of each entity and timestamp one is kept, the same every time."""
    return _asof({number: _DISTINCT.format(number) for number in views}, extras)


def asof_of_few(extras: int = 0) -> str:
    """Join ASOF the rows of the spine's own entities."""
    return _asof({0: "(select * from view_0 where entity_id in (select entity_id from spine))"}, extras)


def asof_of_timestamps(extras: int, *, has_ties: bool) -> str:
    """Join ASOF the timestamps alone, then join the rows that have them."""
    rows = _DISTINCT.format(0) if has_ties else "view_0"
    return (
        f"select {_columns([0], extras)} from (select s.*, t.happened_at from spine s asof left join "
        "(select entity_id, happened_at from view_0) t on s.entity_id = t.entity_id and s.asked_at >= t.happened_at) s "
        f"left join {rows} v0 on s.entity_id = v0.entity_id and s.happened_at = v0.happened_at"
    )


def asof_of_running_newest() -> str:
    """Find for each moment at which a row became known the newest row known then, join that ASOF, and join back."""
    known = "select *, greatest(happened_at, known_at) as known_from from view_0"
    running = (
        "select entity_id, known_from, "
        f"max(happened_at) over (partition by entity_id order by known_from) as happened_at from ({known})"
    )
    return (
        f"select {_columns([0])} from (select s.*, t.happened_at from spine s asof left join ({running}) t "
        "on s.entity_id = t.entity_id and s.asked_at >= t.known_from) s "
        "left join view_0 v0 on s.entity_id = v0.entity_id and s.happened_at = v0.happened_at"
    )


def inequality(views: Iterable[int]) -> str:
    """Join every row of the spine with every earlier row of its entity, number them, and keep the first."""
    views = tuple(views)
    answers = (
        f"v{number} as (select * from (select s.row_id, f.amount_{number}, f.count_{number}, row_number() over "
        f"(partition by s.row_id order by f.happened_at desc, f.amount_{number} desc, f.count_{number} desc) as place "
        f"from spine s join view_{number} f on s.entity_id = f.entity_id and f.happened_at <= s.asked_at) ranked "
        "where place = 1)"
        for number in views
    )
    joins = (f"left join v{number} on s.row_id = v{number}.row_id" for number in views)
    return f"with {', '.join(answers)} select {_columns(views)} from spine s {' '.join(joins)}"


def newest_entities() -> str:
    """Select the newest row of each entity."""
    newest_first = "row_number() over (partition by entity_id order by happened_at desc)"
    return f"select * from bench.entities qualify {newest_first} = 1"


def newest_rows(table: str, *, has_ties: bool) -> str:
    """Find the newest timestamp of each entity, and join back; with ties, the greatest features are kept."""
    found = "(select entity_id, max(happened_at) as happened_at from {0} group by entity_id)"
    return _joined_back(found.format(table), table, has_ties=has_ties)


def newest_rows_by_skips(table: str, *, has_ties: bool) -> str:
    """Skip along an index from entity to entity, to the last entry of each, and join back."""
    newest = "select entity_id, happened_at from {0} {1} order by entity_id desc, happened_at desc limit 1"
    found = (
        f"(with recursive skips as (({newest.format(table, '')}) union all select each.* from skips, lateral "
        f"({newest.format(table, 'where entity_id < skips.entity_id')}) each) select * from skips)"
    )
    return _joined_back(found, table, has_ties=has_ties)


def _joined_back(found: str, table: str, *, has_ties: bool) -> str:
    keys = "entity_id, happened_at"
    rows = f"select r.* from {found} found join {table} r using ({keys})"
    if not has_ties:
        return rows
    order = ", ".join(f"{name}_0 desc nulls last" for name in FEATURES)
    names = ", ".join(f"{name}_0" for name in FEATURES)
    numbered = f"select *, row_number() over (partition by entity_id order by {order}) as place from ({rows}) tied"
    return f"select {keys}, {names} from ({numbered}) ranked where place = 1"


def _asof(tables: dict[int, str], extras: int = 0) -> str:
    joins = (
        f"asof left join {table} v{number} on s.entity_id = v{number}.entity_id and s.asked_at >= v{number}.happened_at"
        for number, table in tables.items()
    )
    return f"select {_columns(tables, extras)} from spine s {' '.join(joins)}"


def _columns(views: Iterable[int], extras: int = 0) -> str:
    features = [
        f"v{number}.{name}"
        for number in views
        for name in (*(f"{each}_{number}" for each in FEATURES), *extra_features(extras))
    ]
    return ", ".join(["s.row_id", "s.entity_id", "s.asked_at", "s.label", *features])
