"""Every type at its ends: training sets, files and Redis hold the same value, or refuse it by file, node and column."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pandas
import pyarrow.csv
import pyarrow.parquet
import pytest

from feature_sync.errors import DefinitionError, FeatureSyncError, RequestError, ViewsFailed
from tests.support.unbuilt import UnbuiltProject

TOKEN = "c2c5e0aa-9e43-4f52-9c5e-0b1e3d8a7f10"
REALS = [0.10000000149011612, -0.0, math.nan, -math.inf, 1.401298464324817e-45]
LAST = datetime(9999, 12, 31, 23, 59, 59, 999999)
SAME = {
    "duckdb": {
        "utinyint": ("255::utinyint", 255),
        "ubigint": ("18446744073709551615::ubigint", 2**64 - 1),
        "hugeint": ("(-170141183460469231731687303715884105728)::hugeint", -(2**127)),
        "uhugeint": ("340282366920938463463374607431768211455::uhugeint", Decimal(2**128 - 1)),
        "uhugeints": ("[340282366920938463463374607431768211455::uhugeint]", [Decimal(2**128 - 1)]),
        "real": ("0.1::real", 0.10000000149011612),
        "negative_zero": ("'-0.0'::double", -0.0),
        "least_double": ("5e-324::double", 5e-324),
        "wide_decimal": ("'-99999999999999999999999999999999999999'::decimal(38, 0)", Decimal("-" + "9" * 38)),
        "month": ("interval '1 month'", "1 month"),
        "thirty_days": ("interval '30 days'", "30 days"),
        "hours": ("interval '24 hours'", "24:00:00"),
        "months": ("[interval '1 month']", ["1 month"]),
        "span": ("{'a': interval '1 month', 'b c': 1}", {"a": "1 month", "b c": 1}),
        "first_day": ("date '0001-01-01'", date.min),
        "last_day": ("date '9999-12-31'", date.max),
        "endless_day": ("date 'infinity'", None),
        "endless_moment": ("timestamp '-infinity'", None),
        "endless_instant": ("timestamptz 'infinity'", None),
        "last_moment": (f"timestamp '{LAST}'", LAST),
        "last_instant": (f"timestamptz '{LAST}+00'", LAST.replace(tzinfo=UTC)),
        "token": (f"'{TOKEN}'::uuid", TOKEN),
        "mood": ("'b'::enum('b', 'a')", "b"),
        "grid": ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        "three": ("array_value(1.5::float, 2, 3)", [1.5, 2.0, 3.0]),
        "nothing": ("[]::integer[]", []),
        "reals": ("['0.1', '-0.0', 'nan', '-inf', '1e-45']::float[]", REALS),
        "reals_with_null": ("[0.1::float, null]", [0.10000000149011612, None]),
        "doubles": ("[0.1::double, 'nan', 'inf', 5e-324]", [0.1, math.nan, math.inf, 5e-324]),
        "no_reals": ("[]::float[]", []),
        "null_reals": ("null::float[]", None),
        "grid_of_reals": ("[[0.1::float], []]", [[0.10000000149011612], []]),
        "real_inside": ("{'a': 0.1::float, 'b': [0.1::float]}", {"a": 0.10000000149011612, "b": [0.10000000149011612]}),
        "document": ("""'{"a":  1e400}'::json""", '{"a":  1e400}'),
        "nul": ("chr(0) || 'a'", "\x00a"),
    },
    "postgres": {
        "least": ("(-9223372036854775808)::bigint", -(2**63)),
        "real": ("0.1::real", 0.10000000149011612),
        "numeric_of_any": ("12345678901234567890.1234567890::numeric", Decimal("12345678901234567890.1234567890")),
        "small": ("0.00123::numeric(3, 5)", Decimal("0.00123")),
        "most_digits": ("(1e38 - 1)::numeric", Decimal(10**38 - 1)),
        "padded": ("'a'::char(3)", "a"),
        "paddeds": ("array['a'::char(3)]", ["a"]),
        "unpadded": ("'a '::varchar(3)", "a "),
        "month": ("interval '1 month'", "1 mon"),
        "thirty_days": ("interval '30 days'", "30 days"),
        "endless_span": ("interval 'infinity'", "infinity"),
        "longest_span": ("interval '178000000 years'", "178000000 years"),
        "months": ("array[interval '1 month']", ["1 mon"]),
        "first_day": ("date '0001-01-01'", date.min),
        "endless_day": ("date 'infinity'", None),
        "endless_moment": ("timestamp '-infinity'", None),
        "endless_instant": ("timestamptz 'infinity'", None),
        "last_moment": (f"timestamp '{LAST}'", LAST),
        "last_instant": (f"timestamptz '{LAST}+00'", LAST.replace(tzinfo=UTC)),
        "domain": ("5::positive", 5),
        "document": ("""'{"a":  1e40}'::json""", '{"a":  1e40}'),
        "tidy": ("""'{"a":  1}'::jsonb""", '{"a": 1}'),
        "moments": ("array[timestamp '2024-01-01', null]", [datetime(2024, 1, 1), None]),
        "tokens": (f"array['{TOKEN}'::uuid]", [TOKEN]),
        "shifted": ("'[2:3]={1,2}'::int[]", [1, 2]),
        "reals": ("'{0.1,-0.0,nan,-inf,1e-45}'::real[]", REALS),
        "reals_with_null": ("'{0.1,null}'::real[]", [0.10000000149011612, None]),
        "doubles": ("'{0.1,nan,inf,5e-324}'::float[]", [0.1, math.nan, math.inf, 5e-324]),
        "no_reals": ("'{}'::real[]", []),
        "null_reals": ("null::real[]", None),
        "shifted_reals": ("'[2:3]={1,2}'::real[]", [1.0, 2.0]),
    },
}
REFUSED = {
    "duckdb": {
        "late": ("date '10000-01-01'", "a time outside the years 1 to 9999"),
        "early": ("timestamp '0044-03-15 (BC) 00:00:00'", "a time outside the years 1 to 9999"),
        "latest": ("timestamptz '294247-01-10 04:00:54.775806+00'", "a time outside the years 1 to 9999"),
        "inside": ("[date '2024-01-01', date '0044-03-15 (BC)']", "a time outside the years 1 to 9999"),
        "deep": ("{'a': {'b': [date '10000-01-01']}}", "a time outside the years 1 to 9999"),
        "endless_inside": ("[timestamp 'infinity']", "(infinity|a time outside)"),
    },
    "postgres": {
        "late": ("date '10000-01-01'", "a time outside the years 1 to 9999"),
        "early": ("timestamp '0044-03-15 00:00:00 BC'", "a time outside the years 1 to 9999"),
        "latest": ("timestamptz '294276-12-31 23:59:59+00'", "a time outside the years 1 to 9999"),
        "inside": ("array[date '10000-01-01']", "a time outside the years 1 to 9999"),
        "endless_inside": ("array[timestamp 'infinity']", "(infinity|a time outside)"),
        "no_number": ("'NaN'::numeric", "(NaN or infinity|.*NaN)"),
        "endless": ("'-Infinity'::numeric", "(NaN or infinity|.*Infinity)"),
        "no_number_inside": ("'{1,NaN}'::numeric[]", "(NaN or infinity|.*NaN)"),
        "grid": ("'{{1,2},{3,4}}'::int[]", "(an array of several|.*list)"),
        "grid_of_text": ("'{{a},{b}}'::text[]", "(an array of several|.*list)"),
        "grid_of_flags": ("'{{t},{f}}'::bool[]", "(an array of several|.*list)"),
        "huge": ("1e100::numeric", "(more than 38 digits|.*decimal256)"),
        "tiny": ("1e-50::numeric", "(more than 38 digits|.*decimal256)"),
    },
}
UNKNOWN = {
    "duckdb": {"bits": "'101'::bit", "clock": "'01:00'::time", "map": "map {'a': 1}", "union": "union_value(a := 1)",
               "bignum": "1::bignum"},
    "postgres": {"bits": "B'101'", "clock": "'24:00'::time", "money": "12.34::money", "mood": "'b'::mood",
                 "pair": "row(1, 'x')::pair", "range": "'[1,5)'::int4range", "rounded": "12345::numeric(5, -2)",
                 "words": "'a b'::tsvector", "address": "'10.0.0.1'::inet", "letter": """'a'::"char" """,
                 "moods": "array['b'::mood]"},
}  # fmt: skip


@pytest.fixture(params=["duckdb", "postgres"])
def project(request, tmp_path):
    """A spine that asks once."""
    login = None if request.param == "duckdb" else request.getfixturevalue("postgres").environment
    project = UnbuiltProject(tmp_path / "project", login=login, schema="main" if login is None else "limits")
    project.model("asks", "select 1 as id, timestamp '2024-01-02' as asked_at", event_time="asked_at")
    if login is not None:
        project.run("drop type if exists mood, pair", "drop domain if exists positive")
        project.run("create type mood as enum ('b', 'a')", "create type pair as (a int, b text)")
        project.run("create domain positive as int")
    yield project
    project.drop()


def test_every_type_at_its_ends_is_the_same_in_training_in_files_and_in_redis(project, redis_url, tmp_path):
    cases = SAME[project.adapter]
    shown = ", ".join(f"{text} as {name}" for name, (text, _) in cases.items())
    project.view("ends", f"select 1 as id, {shown}", features=list(cases))
    with project.open(redis_url) as store:
        assert [each.written for each in store.push(gate=False)] == [1]
        served = store.get_feature_vector("ends", {"id": 1}).to_dict()
        training_set = store.get_training_set("ends", "asks")
        training_set.write(tmp_path / "set.parquet")
        (trained,) = pyarrow.parquet.read_table(tmp_path / "set.parquet").to_pylist()
        frame = training_set.to_pandas("nullable")
        assert [each.is_equal for each in store.verify()] == [True]
    for name, (text, expected) in cases.items():
        assert (name, repr(served[name])) == (name, repr(expected)), text
        held = alike(trained[name], expected)
        assert (name, repr(held) if isinstance(held, list) else held) == (
            name,
            repr(expected) if isinstance(expected, list) else expected,
        ), text
        if expected is None or isinstance(expected, str | int):
            held = frame[name][0]
            assert (name, None if pandas.isna(held) else alike(held, expected)) == (name, expected)
    assert math.copysign(1, trained.get("negative_zero", -0.0)) == -1


def alike(trained, expected):
    """Read as what `get` gives that which files hold as text: integers of 128 bits."""
    if isinstance(trained, list):
        return [alike(*each) for each in zip(trained, expected, strict=True)]
    if isinstance(trained, datetime) and trained.tzinfo is not None:
        return trained.astimezone(UTC)
    is_read = trained is not None and isinstance(expected, int)
    return type(expected)(trained) if is_read else trained


def test_a_csv_file_holds_the_same_numbers_texts_and_spans(project, redis_url, tmp_path):
    cases = {name: case for name, case in SAME[project.adapter].items() if isinstance(case[1], float | str)}
    shown = ", ".join(f"{text} as {name}" for name, (text, _) in cases.items() if name != "nul")
    project.view("ends", f"select 1 as id, {shown}", features=[name for name in cases if name != "nul"])
    with project.open(redis_url) as store:
        store.get_training_set("ends", "asks").write(tmp_path / "set.csv")
    (row,) = pyarrow.csv.read_csv(tmp_path / "set.csv").to_pylist()
    assert row["real"] == 0.10000000149011612
    assert row["month"] == cases["month"][1]
    assert row["thirty_days"] == "30 days"


def test_a_value_that_some_way_out_cannot_hold_is_refused_by_its_column_before_anything_is_written(
    project, redis_url, tmp_path
):
    import redis

    cases = REFUSED[project.adapter]
    for name, (text, _) in cases.items():
        project.view(f"view_{name}", f"select 1 as id, {text} as value", features=["value"])
    with project.open(redis_url) as store, redis.Redis.from_url(redis_url) as client:
        with pytest.raises(ViewsFailed) as failed:
            list(store.push(gate=False))
        for name, (_, words) in cases.items():
            place = rf"models/models\.yml: model\.unbuilt\.view_{name}: columns\.value: holds {words}"
            with pytest.raises(DefinitionError, match=place):
                raise failed.value.failures[f"view_{name}"]
            for write in (store.get_training_set(f"view_{name}", "asks").to_arrow, lambda: None):
                with pytest.raises(FeatureSyncError, match=place):
                    write() or store.get_training_set(f"view_{name}", "asks").write(tmp_path / "set.parquet")
        assert [key for key in client.scan_iter() if b"{" in key] == []
    assert [each.name for each in tmp_path.iterdir()] == ["project"]


def test_a_type_that_is_not_in_the_list_is_refused_by_its_name(project, redis_url):
    for name, text in UNKNOWN[project.adapter].items():
        project.view(f"view_{name}", f"select 1 as id, {text} as value", features=["value"])
    with project.open(redis_url) as store:
        for name in UNKNOWN[project.adapter]:
            place = rf"models/models\.yml: model\.unbuilt\.view_{name}: columns\.value\.data_type: '\D.* cast it"
            for attempt in (
                lambda: list(store.push([f"view_{name}"], gate=False)),  # noqa: B023
                lambda: store.get_training_set(f"view_{name}", "asks").to_arrow(),  # noqa: B023
            ):
                with pytest.raises(DefinitionError, match=place):
                    attempt()


def test_a_spine_keeps_columns_of_any_type_exactly_or_names_them(project, redis_url):
    project.view("amounts", "select 1 as id, 7 as amount", features=["amount"])
    texts = {
        "duckdb": {"bits": ("'101'::bit", "101"), "wide": ("340282366920938463463374607431768211455::uhugeint",
                   "340282366920938463463374607431768211455"), "month": ("interval '1 month'", "1 month")},
        "postgres": {"bits": ("B'101'", "101"), "lsn": ("'16/B374D848'::pg_lsn", "16/B374D848"),
                     "range": ("'[1,5)'::int4range", "[1,5)"), "address": ("'10.0.0.1'::inet", "10.0.0.1/32"),
                     "pair": ("row(1, 'x')::pair", "(1,x)"), "month": ("interval '1 month'", "1 mon"),
                     "letter": ("""'a'::"char" """, "a"), "moods": ("array['b'::mood]", "{b}")},
    }[project.adapter]  # fmt: skip
    asked = ["1 as id", "timestamp '2024-01-02' as event_timestamp"]
    query = "select " + ", ".join([*asked, *(f"{text} as {name}" for name, (text, _) in texts.items())])
    with project.open(redis_url) as store:
        (row,) = store.get_training_set("amounts", spine_sql=query).to_arrow().to_pylist()
        assert {name: row[name] for name in texts} == {name: expected for name, (_, expected) in texts.items()}
        for moment, words in (("infinity", "infinity"), ("10000-01-01", "a time outside")):
            query = f"select 1 as id, timestamp '2024-01-02' as event_timestamp, date '{moment}' as due"
            with pytest.raises(DefinitionError, match=f"spine_sql: columns.due: holds {words}"):
                store.get_training_set("amounts", spine_sql=query).to_arrow()


def test_an_event_time_or_a_key_outside_the_years_1_to_9999_is_refused_by_its_column(project, redis_url):
    before = "'0044-03-15 (BC)'" if project.adapter == "duckdb" else "'0044-03-15 BC'"
    project.view("old", f"select 1 as id, cast({before} as date) as day, 7 as amount", event_time="day", lag="0d",
                 features=["amount"])  # fmt: skip
    project.view("keyed", f"select cast({before} as date) as id, 7 as amount", features=["amount"], entity="day")
    with project.open(redis_url) as store:
        for name, column in (("old", "day"), ("keyed", "id")):
            with pytest.raises(
                DefinitionError, match=rf"model\.unbuilt\.{name}: columns\.{column}: holds a time outside"
            ):
                list(store.push([name], gate=False))


def test_pandas_refuses_to_round_whole_numbers(project, redis_url):
    values = {"beyond": "9007199254740993", "exact": "9007199254740992"}
    for name, value in values.items():
        project.view(name, f"select 1 as id, cast({value} as bigint) as value", features=["value"])
    listed = "[9007199254740993, null]" if project.adapter == "duckdb" else "array[9007199254740993, null]"
    project.view("listed", f"select 1 as id, {listed} as value", features=["value"])
    whole, beside = (
        "select 1 as id, timestamp '2024-01-02' as event_timestamp",
        "select 2, timestamp '2024-01-02'",
    )
    with project.open(redis_url) as store:
        both = f"{whole} union all {beside}"
        assert sorted(store.get_training_set("exact", spine_sql=both).to_pandas()["value"].dropna()) == [2**53]
        for spine in (whole, both):
            with pytest.raises(
                RequestError, match=r"value holds an integer beyond 2\^53.*to_pandas\(dtypes=.nullable.\)"
            ):
                store.get_training_set("beyond", spine_sql=spine).to_pandas()
            for dtypes in ("nullable", "arrow"):
                exact = store.get_training_set("beyond", spine_sql=spine).to_pandas(dtypes)["value"].dropna()
                assert exact.tolist() == [2**53 + 1]
        held = store.get_training_set("listed", spine_sql=whole).to_pandas()["value"].tolist()
        assert held == [[2**53 + 1, None]]  # lists hold Python's own numbers
        long = whole.replace("1 as id", "cast(9007199254740993 as bigint) as number, 1 as id")
        asked = store.get_training_set("exact", spine_sql=f"{long} union all {beside.replace('2,', 'null, 2,')}")
        with pytest.raises(RequestError, match=r"the column 'number' has nulls and whole numbers beyond 2\^53"):
            asked.to_pandas()
