"""Generated cases for the point-in-time join: definitions, the rows of their tables, and a spine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from feature_sync.definitions import (
    Column,
    Entity,
    Feature,
    FeatureService,
    FeatureView,
    History,
    Period,
    Relation,
    Selection,
    Spine,
    selection_of,
    with_unique_aliases,
)
from feature_sync.errors import Location
from tests.support import oracle
from tests.support.oracle import FOREVER

NOON = datetime(2013, 10, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
ZONES = ["UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata"]
# Noon, midnight, and the nights on which Paris and New York turn their clocks back and forward; with the zones that
# views there are likely to be in.
PLACES = [
    (NOON, ZONES),
    (datetime(2013, 10, 27, tzinfo=UTC), ZONES),
    (datetime(2013, 10, 27, 1, tzinfo=UTC), ["Europe/Paris", "UTC"]),
    (datetime(2013, 11, 3, 6, tzinfo=UTC), ["America/New_York", "UTC"]),
    (datetime(2013, 3, 31, 1, tzinfo=UTC), ["Europe/Paris", "UTC"]),
    (datetime(2013, 3, 10, 7, tzinfo=UTC), ["America/New_York", "UTC"]),
    (datetime(1, 1, 6, tzinfo=UTC), ["UTC"]),
    (datetime(9999, 12, 26, tzinfo=UTC), ["UTC"]),
]
TEXTS = ["a", "A", "", "a'b", 'a"b', "`", "|", "a|", "|a", "{%}", "\\", "é", "%", " a"]
NUMBERS = [0, 1, -1]
# Names that are keywords, upper case, hold spaces or end like the suffixes that other tools put on columns.
FEATURE_NAMES = ["amount_x", "amount_y", "select", "Order", "two words", "_newness", "spine", "é"]
KEY_NAMES = [("shop", "item"), ("group", "Item"), ("key_x", "key_y"), ("My Shop", "from")]
SPINE_KEYS = ["Shop asked", "order", "item_x", "item_y"]
SPINE_TIMES = ["asked at", "_moment", "Time"]
KEY_TYPES = ["text", "text", "integer"]
TIME_TYPES = ["naive", "aware"]
VALUES = {
    "integer": st.sampled_from([None, 0, 1, -(2**63), 2**63 - 1]),
    "float": st.sampled_from([None, 0.5, -1.0, 0.0, -0.0, 0.0, -0.0, float("nan"), float("inf"), float("-inf")]),
    "text": st.sampled_from([None, "", "a", "Z", "é", "it's", "\\", "😀", "￿"]),
    "flag": st.sampled_from([None, True, False]),
    "decimal": st.sampled_from([None, Decimal("1.50"), Decimal("-0.01")]),
    "date": st.sampled_from([None, NOON.date()]),
    "naive": st.sampled_from([None, NOON.replace(tzinfo=None)]),
    "aware": st.sampled_from([None, NOON, NOON + MICROSECOND]),
    "numbers": st.sampled_from([None, [], [1], [1, 2], [1, 10]]),
    "json": st.sampled_from([None, '{"a":1}', '{"a":null}', "[1]", "[]", '"a"']),
}
# Defaults as YAML holds them, and what they mean.
DEFAULTS = {
    "integer": (7, 7),
    "float": (1, 1.0),
    "text": ("it's \\none", "it's \\none"),
    "flag": (True, True),
    "decimal": ("0.5", Decimal("0.5")),
    "date": ("2013-01-01", date(2013, 1, 1)),
    "naive": ("2013-01-01 00:00:00.000001", datetime(2013, 1, 1, 0, 0, 0, 1)),
    "aware": ("2013-01-01 00:00:00+01:00", datetime(2012, 12, 31, 23, tzinfo=UTC)),
}
# What a project on each warehouse calls these types.
WORDS = {
    "duckdb": {
        "integer": "bigint",
        "float": "double",
        "text": "varchar",
        "flag": "boolean",
        "decimal": "decimal(10, 2)",
        "date": "date",
        "naive": "timestamp",
        "aware": "timestamp with time zone",
        "numbers": "bigint[]",
        "json": "json",
    },
    "bigquery": {
        "integer": "INT64",
        "float": "FLOAT64",
        "text": "STRING",
        "flag": "BOOL",
        "decimal": "NUMERIC(10, 2)",
        "date": "DATE",
        "naive": "DATETIME",
        "aware": "TIMESTAMP",
        "numbers": "ARRAY<INT64>",
        "json": "JSON",
    },
}
WORDS["spark"] = {
    "integer": "bigint",
    "float": "double",
    "text": "string",
    "flag": "boolean",
    "decimal": "decimal(10, 2)",
    "date": "date",
    "naive": "timestamp_ntz",
    "aware": "timestamp_ltz",
    "numbers": "array<bigint>",
    "json": "string",
}
WORDS["postgres"] = WORDS["duckdb"] | {"float": "double precision", "text": "text"}


@dataclass(frozen=True)
class Case:
    """Everything that one question needs: tables are lists of rows, by the reference of their view."""

    service: FeatureService
    tables: dict[str, list[dict]]
    spine: Spine
    spine_rows: list[dict]
    defaults: dict[tuple[str, str], object]

    @property
    def asked(self) -> Period:
        """Between which moments the spine asks."""
        known = [moment for moment in map(self.moment, self.spine_rows) if moment is not None]
        return Period(min(known), max(known)) if known else Period()

    def moment(self, row: dict) -> datetime | None:
        """When a row of the spine, or of its answer, asks."""
        return oracle.instant(row[self.spine.asked_at], "UTC")

    def expected(self) -> list[dict]:
        """The training set that the oracle finds."""
        rows = self.spine_rows
        return [oracle.training_row(self.service, self.tables, row, self.spine.asked_at, self.defaults) for row in rows]


durations = st.sampled_from([timedelta(0), HOUR, 2 * HOUR, DAY, timedelta(minutes=90)])


def cases(adapter: str = "duckdb") -> st.SearchStrategy[Case]:
    """One to four views of one or two keys, some of them versions or roles of one another, and a spine that asks."""
    return _Cases(adapter).cases()


class _Cases:
    """The cases of one warehouse: what is asked is the same everywhere, types are in its own words."""

    def __init__(self, adapter: str):
        self.adapter = adapter
        self.words = WORDS[adapter]

    @st.composite
    @staticmethod
    def _cases(draw, self) -> Case:
        keys = draw(st.sampled_from(KEY_NAMES))[: draw(st.integers(1, 2))]
        key_types = {key: draw(st.sampled_from(KEY_TYPES)) for key in keys}
        # Few values for each key, so that views and spine meet; which ones, each case decides.
        pools = {
            "text": draw(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=2, unique=True)),
            "integer": NUMBERS[:2],
        }
        place, zones = draw(st.sampled_from(PLACES))
        times = _Times(place, ZoneInfo(zones[0]))
        full_names = draw(st.booleans())
        views = self._versions(draw, draw(st.integers(1, 4)), key_types, zones)
        selections = self._selections(draw, views, key_types, full_names=full_names)
        service = FeatureService(name="generated", selections=tuple(selections), full_names=full_names).checked()
        skewed = draw(st.integers(0, 3)) == 0  # then one entity has most rows
        crowded = {kind: [values[0]] * 7 + values for kind, values in pools.items()} if skewed else pools
        tables = {view.reference: self._table(draw, view, key_types, crowded, times) for view in views}
        asked_at, time_type = draw(st.sampled_from(SPINE_TIMES)), draw(st.sampled_from([*TIME_TYPES, "date"]))
        kinds = {"row": "integer", "Label_x": "text"}
        for selection in selections:
            kinds |= dict(zip(selection.spine_keys, (key_types[key] for key in selection.view.join_keys), strict=True))
        kinds[asked_at] = time_type
        spine = Spine(relation=self._relation("the spine", kinds, event_time=asked_at))
        asking = {
            "row": st.integers(0, 3),
            "Label_x": VALUES["text"],
            asked_at: times.asked(time_type),
        }
        few = draw(st.integers(0, 3)) == 0  # the views then have entities for which the spine never asks
        row = st.fixed_dictionaries(
            {
                name: asking[name]
                if name in asking
                else _at_times_null(st.sampled_from(pools[kind][:1] if few else pools[kind]))
                for name, kind in kinds.items()
            }
        )
        spine_rows = [{name: drawn[name] for name in kinds} for drawn in draw(_some(row))]
        spine_rows += [dict(each) for each in spine_rows[: draw(st.integers(0, 2))]]  # some rows come twice
        defaults = {
            (view.reference, each.name): DEFAULTS[self._kind(view.relation.columns[each.name])][1]
            for view in views
            for each in view.features
            if each.default is not None
        }
        return Case(service, tables, spine, spine_rows, defaults)

    def cases(self) -> st.SearchStrategy[Case]:
        return self._cases(self)

    def _versions(self, draw, count: int, key_types: dict[str, str], zones: list[str]) -> list[FeatureView]:
        """Some views are versions of one model, which the service uses side by side."""
        views: list[FeatureView] = []
        for number in range(count):
            view = self._view(draw, number, key_types, zones)
            if views and draw(st.booleans()):
                views[0] = replace(views[0], version="1")
                view = replace(view, name=views[0].name, version=str(number + 1))
            views.append(view)
        return views

    def _view(self, draw, number: int, key_types: dict[str, str], zones: list[str]) -> FeatureView:
        history = draw(st.sampled_from([*[History.EVENTS] * 3, History.SNAPSHOT, History.SNAPSHOT, History.TIMELESS]))
        kinds, times = dict(key_types), {}
        if history is not History.TIMELESS:
            times["event_timestamp"] = "Event Time"
            times["known_at"] = draw(st.sampled_from([None, None, "known_at"]))
            times["created_timestamp"] = draw(st.sampled_from([None, "created"]))
        if history is History.SNAPSHOT:
            times["valid_to"] = "dbt_valid_to"
            times["is_deleted"] = draw(st.sampled_from([None, "dbt_is_deleted"]))
        types = [*TIME_TYPES, "date"] if history is History.EVENTS else TIME_TYPES
        for role, name in times.items():
            if name is not None:
                kinds[name] = "text" if role == "is_deleted" else draw(st.sampled_from(types))
        names = draw(st.lists(st.sampled_from(FEATURE_NAMES), min_size=1, max_size=3, unique=True))
        kinds |= {name: draw(st.sampled_from(sorted(VALUES))) for name in names}
        features = [Feature(name=name, default=draw(_default(kinds[name]))) for name in names]
        lag = draw(durations)
        is_unique = draw(st.booleans())
        current = draw(st.sampled_from([None, self._current(kinds)])) if history is History.SNAPSHOT else None
        return FeatureView(
            name=f"View {number}",
            relation=replace(self._relation(f"view {number}", kinds), is_table=draw(st.booleans())),
            entities=(Entity(name="thing", join_keys=tuple(key_types)),),
            features=tuple(features),
            history=history,
            lag=None if history is History.TIMELESS else lag,
            ttl=None if history is History.TIMELESS else draw(st.none() | durations.map(lambda each: each + lag)),
            timezone=draw(st.sampled_from(zones)),
            is_unique=is_unique,
            is_indexed=draw(st.booleans()),
            valid_to_current=current,
            **times,
        )

    def _current(self, kinds: dict[str, str]) -> str:
        """What dbt writes as the end of a row that is current, as its `dbt_valid_to_current` spells it."""
        zone = "+00" if kinds["dbt_valid_to"] == "aware" else ""
        return f"cast('{FOREVER}{zone}' as {self.words[kinds['dbt_valid_to']]})"

    def _selections(
        self, draw, views: list[FeatureView], key_types: dict[str, str], *, full_names: bool
    ) -> list[Selection]:
        """Each view, and some of them again in another role, asked by keys of its own."""
        roles = [(each.view, each.alias) for each in with_unique_aliases(map(selection_of, views))]
        roles += [(view, f"other {alias}") for view, alias in roles if draw(st.integers(0, 3)) == 0]
        free = {name.casefold() for name in FEATURE_NAMES}
        selections = []
        for view, alias in roles:
            names = [each.name for each in view.features if full_names or each.name.casefold() in free]
            chosen = draw(st.permutations(names)) if names else []
            free -= {name.casefold() for name in chosen}
            if chosen:
                spine_keys = self._spine_keys(draw, key_types)
                selections.append(Selection(view=view, alias=alias, features=tuple(chosen), spine_keys=spine_keys))
        return selections

    @staticmethod
    def _spine_keys(draw, key_types: dict[str, str]) -> tuple[str, ...]:
        """Mostly the same columns of the spine; at times others, and one column for two keys of one type."""
        shift = draw(st.sampled_from([0, 0, 2]))
        names = [f"{SPINE_KEYS[shift + place]}_{kind}" for place, kind in enumerate(key_types.values())]
        if len(names) == 2 and len(set(key_types.values())) == 1 and draw(st.integers(0, 5)) == 0:
            return (names[0], names[0])
        return tuple(names)

    def _table(
        self, draw, view: FeatureView, key_types: dict[str, str], pools: dict[str, list], times: _Times
    ) -> list[dict]:
        """Rows, and twins of some: of the same entity at the same moment, with other values."""
        rows = draw(_some(self._rows(view, key_types, pools, times)))
        elders, twins = rows[:2], draw(st.lists(self._rows(view, key_types, pools, times), max_size=4)) if rows else []
        for twin in twins:
            elder, other = draw(st.sampled_from(elders)), draw(st.sampled_from(["", *view.times]))
            rows.append(twin | {name: elder[name] for name in (*view.join_keys, *view.times) if name != other})
        return _without_ties(view, rows)

    def _rows(
        self, view: FeatureView, key_types: dict[str, str], pools: dict[str, list], times: _Times
    ) -> st.SearchStrategy[dict]:
        kinds = {name: self._kind(column) for name, column in view.relation.columns.items()}
        values = {}
        for name, kind in kinds.items():
            if name in key_types:
                values[name] = _at_times_null(st.sampled_from(pools[kind]))
            elif name == view.is_deleted:
                values[name] = st.sampled_from([None, "False", "True"])
            elif name in view.times:
                values[name] = times.known(kind)
            else:
                values[name] = VALUES[kind]
        if view.valid_to_current is not None:
            forever = FOREVER.replace(tzinfo=UTC) if kinds[view.valid_to] == "aware" else FOREVER
            values[view.valid_to] = values[view.valid_to] | st.just(forever)
        return st.fixed_dictionaries(values)

    def _kind(self, column: Column) -> str:
        return next(kind for kind, word in self.words.items() if word == column.data_type)

    def _relation(self, name: str, kinds: dict[str, str], event_time: str | None = None) -> Relation:
        mark = "`" if self.adapter in ("bigquery", "spark") else '"'
        columns = {
            column: Column(name=column, data_type=self.words[kind], stored_as=column) for column, kind in kinds.items()
        }
        return Relation(
            name=f"{mark}{name}{mark}",
            unique_id=f"model.generated.{name}",
            location=Location("generated.yml", name),
            columns=columns,
            columns_are_complete=True,
            event_time=event_time,
        )


def _default(kind: str) -> st.SearchStrategy:
    return st.sampled_from([None, DEFAULTS[kind][0]]) if kind in DEFAULTS else st.none()


def _without_ties(view: FeatureView, rows: list[dict]) -> list[dict]:
    """Keep the promise of a view that says it is unique."""
    if not view.is_unique:
        return rows
    return list({(*(row[key] for key in view.join_keys), _moment(view, row)): row for row in rows}.values())


def _moment(view: FeatureView, row: dict) -> datetime | None:
    return oracle.instant(row.get(view.event_timestamp), view.timezone)


class _Times:
    """Times close to one another, so that ties and edges are met: most cluster around one place."""

    def __init__(self, place: datetime, zone: ZoneInfo):
        self._zone = zone
        self._moments = st.builds(
            lambda base, hours, microseconds: base + hours * HOUR + microseconds * MICROSECOND,
            st.sampled_from([place, place, NOON, place, place, place]),
            st.integers(-2, 3),
            st.sampled_from([0, 0, -1, 1, 0, 0]),
        )

    def asked(self, kind: str) -> st.SearchStrategy[datetime | date | None]:
        """Moments to ask for; those without a zone are in UTC."""
        return self._of(kind, self._moments.map(lambda moment: moment + HOUR))

    def known(self, kind: str) -> st.SearchStrategy[datetime | date | None]:
        """Times of rows; those without a zone are what clocks in UTC or in the zone show, skipped hours too."""
        moments = self._moments
        if kind != "aware":
            moments |= self._moments.map(lambda moment: moment.astimezone(self._zone))
        return self._of(kind, moments)

    @staticmethod
    def _of(kind: str, moments: st.SearchStrategy[datetime]) -> st.SearchStrategy[datetime | date | None]:
        convert = {"aware": lambda moment: moment, "naive": lambda moment: moment.replace(tzinfo=None)}
        return _at_times_null(moments.map(convert.get(kind, datetime.date)))


def _some(rows: st.SearchStrategy[dict]) -> st.SearchStrategy[list[dict]]:
    """Seldom none, often several: a generator left to itself likes short lists."""
    return st.sampled_from([1, 0, 5, 5, 5]).flatmap(lambda least: st.lists(rows, min_size=least, max_size=8))


def _at_times_null(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.integers(0, 15).flatmap(lambda number: st.none() if number == 7 else values)
