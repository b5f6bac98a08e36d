"""A reader in JavaScript, written by docs/online-format.md alone, answers as the Python client does."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import msgpack
import pytest
import redis

from feature_sync import FeatureClient, FeatureStore
from feature_sync.errors import OnlineStoreError
from feature_sync.online.codec import encode_row
from feature_sync.serving.card import Card, CardFeature, CardSelection
from feature_sync.value_types import as_utc, to_microseconds
from tests.support.node import NodeReader, node_folder
from tests.support.projects import EXAMPLE
from tests.support.unbuilt import AS_OF, UnbuiltProject

TOKEN = "c2c5e0aa-9e43-4f52-9c5e-0b1e3d8a7f10"
NAMES = ["", "%", "a|{b}", "Zoë Müß", "%7C", "日本 🚆", "nulls", "nobody"]
TYPES = {
    "flag": ("true", "false"),
    "whole": ("(-9223372036854775808)::bigint", "9223372036854775807::bigint"),
    "edge": ("9007199254740993::bigint", "(-9007199254740991)::bigint"),
    "wide": ("(-170141183460469231731687303715884105728)::hugeint", "1::hugeint"),
    "real": ("'nan'::double", "'-0.0'::double"),
    "endless": ("'inf'::double", "'-inf'::double"),
    "single": ("0.1::float", "5::float"),
    "exact": ("'-12345678901234567890123456.7890123456'::decimal(38, 10)", "1.5::decimal(38, 10)"),
    "words": ("''", "'é🚆' || chr(0)"),
    "raw": ("unhex('00ff7d')", "''::blob"),
    "day": ("date '0001-01-01'", "date '9999-12-31'"),
    "wall": ("timestamp '1969-12-31 23:59:59.999999'", "timestamp '9999-12-31 23:59:59.999999'"),
    "instant": ("timestamptz '2024-03-31 01:30:00.000001+01'", "timestamptz '0001-01-01 00:00:00+00'"),
    "span": ("interval '1 month'", "interval '24 hours'"),
    "token": (f"'{TOKEN}'::uuid", f"'{UUID(int=0)}'::uuid"),
    "document": ("""'{"a": [1, null]}'::json""", "'[]'::json"),
    "numbers": ("[1, null, 9007199254740993]::bigint[]", "[]::bigint[]"),
    "singles": ("[0.1, -2.0]::float[]", "[null, 1.5]::float[]"),
    "doubles": ("[0.1, 'nan'::double, 'inf'::double]::double[]", "[]::double[]"),
    "grid": ("[[0.5, null], [-0.0]]::double[][]", "[]::double[][]"),
    "pair": (
        "{'the day': date '1970-01-02', 'prices': [1.50::decimal(4, 2), null], 'big': 9007199254740993::bigint}",
        "{'the day': null, 'prices': null, 'big': null}",
    ),
}
"""Two values of every type in DuckDB's SQL."""

pytestmark = pytest.mark.slow  # Node and packages from npm are needed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return node_folder(tmp_path_factory.mktemp("node"))


@pytest.fixture
def project(tmp_path):
    return UnbuiltProject(tmp_path / "project")


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def wire(value):
    """What the reader prints of a Python value."""
    if isinstance(value, float) and (not math.isfinite(value) or (value == 0 and math.copysign(1, value) < 0)):
        return {"float": str(value)}
    if isinstance(value, datetime):
        value = to_microseconds(as_utc(value))
    elif isinstance(value, date):
        value = (value - date(1970, 1, 1)).days
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53 - 1:
        return {"int": str(value)}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, list):
        return [wire(each) for each in value]
    if isinstance(value, dict):
        return {name: wire(each) for name, each in value.items()}
    return str(value) if isinstance(value, Decimal | UUID) else value


def answers_of(client: FeatureClient, entities, **options):
    """What the Python client answers, as the reader prints it; integers of 128 bits are text in JavaScript."""
    features = [each for selection in client.warm_up().selections for each in selection.features]
    forms = {each.output: str if each.type == "wideint" else wire for each in features}
    return [
        {
            "values": {name: None if each is None else forms[name](each) for name, each in vector.to_dict().items()},
            "statuses": {name: str(status) for name, status in vector.statuses.items()},
            "eventTimestamps": {name: wire(moment) for name, moment in vector.event_timestamps.items()},
        }
        for vector in client.get_many(entities, **options)
    ]


def both(folder, url, service, entities):
    """Ask both readers, compare, and return the answers."""
    with FeatureClient(url, service, prefix="unbuilt") as client, NodeReader(folder, url, service, "unbuilt") as reader:
        expected = answers_of(client, entities)
        found = reader.get(entities)
        assert found == expected
        return found


def column(answers, name):
    return [(each["values"][name], each["statuses"][name]) for each in answers]


def statuses(answers, name):
    return [each["statuses"][name] for each in answers]


def test_every_type_and_a_text_key_of_any_characters_are_read_as_python_reads_them(project, folder, redis_url):
    names = [name for name in NAMES if name != "nobody"]
    rows = [
        f"select {quoted(name)} as id, "
        + ", ".join(f"{'null' if name == 'nulls' else values[at % 2]} as {each}" for each, values in TYPES.items())
        for at, name in enumerate(names)
    ]
    project.view("everything", " union all ".join(rows), features=list(TYPES))
    project.service("model", {"everything": list(TYPES)}, ["everything"])
    push(project, redis_url)
    answers = both(folder, redis_url, "model", [{"id": name} for name in (*NAMES, None)])
    assert column(answers, "words")[:2] == [("", "present"), ("é🚆\x00", "present")]
    assert column(answers, "whole")[:2] == [({"int": str(-(2**63))}, "present"), ({"int": str(2**63 - 1)}, "present")]
    assert statuses(answers, "real") == ["present"] * 6 + ["null", "missing", "missing"]


DEFAULTS = {
    "amount": 2**53 + 1, "ratio": 0.1, "most": 1e300, "price": "0.50", "until": "9999-12-31", "day": "1970-01-03",
    "flag": True, "wide": 2**70, "words": "nothing", "token": TOKEN, "document": "{}", "small": -7,
}  # fmt: skip
TOTALS = (
    "::bigint as amount, 0.5::double as ratio, null::double as most, 2::decimal(9, 2) as price, "
    "null::timestamp as until, null::date as day, false as flag, 5::hugeint as wide, null::text as words, "
    "null::uuid as token, null::json as document, null::int as small"
)


def test_a_service_of_two_views_with_renamed_keys_defaults_and_an_expired_row(project, folder, redis_url):
    project.view("people", "select 'Ä|1' as id, 5 as words", entity="person", features=["words"])
    ages = {1: "0 seconds", 2: "1 day"}
    rows = [f"select {at} as id, {before(age)} as at, {at}{TOTALS}" for at, age in ages.items()]
    columns = {name: {"feature": {"default": default}} for name, default in DEFAULTS.items()}
    project.view(
        "totals", " union all ".join(rows), event_time="at", ttl="1d", features=list(DEFAULTS), columns=columns
    )
    project.service(
        "model",
        {
            "people": {"keys": {"person": "who"}, "features": ["words"]},
            "sums": {"view": "totals", "keys": {"thing": "total"}, "features": list(DEFAULTS)},
        },
        ["people", "totals"],
        full_names=True,
    )
    push(project, redis_url)
    add_expired(redis_url, 3)
    asked = [("Ä|1", 1), ("Ä|1", 2), ("nobody", 3), (None, 4), ("Ä|1", None)]
    answers = both(folder, redis_url, "model", [{"who": name, "total": total} for name, total in asked])
    default = {"int": str(2**53 + 1)}
    assert column(answers, "sums__amount") == [
        (1, "present"), (2, "present"), (default, "expired"), (default, "missing"), (default, "missing")
    ]  # fmt: skip


def add_expired(redis_url, number: int) -> None:
    """Put a row there that is a microsecond too old, as an interrupted push leaves them: a whole one removes it."""
    with redis.Redis.from_url(redis_url) as client:
        schema_id, moment, *values = msgpack.unpackb(client.get(f"unbuilt:totals:{{{number - 1}}}"))
        client.set(f"unbuilt:totals:{{{number}}}", encode_row([schema_id, moment - 1, *values]))


def before(age: str) -> str:
    return f"timestamp '{AS_OF[:10]}' - interval '{age}'"


def push(project, redis_url, **options):
    with project.open(redis_url) as store:
        return store.push(gate=False, **options)


def test_a_row_that_ends_answers_until_its_end(project, folder, redis_url):
    rows = (
        "(1, 5, timestamp '2024-01-01', timestamp '2024-01-02 00:00:00.000001'), (2, 6, timestamp '2024-01-01', null)"
    )
    query = f"select * from (values {rows}) as rows(id, plan, valid_from, valid_to)"
    project.view(
        "plans", query, valid_from="valid_from", valid_to="valid_to", event_time="valid_from", features=["plan"]
    )
    project.service("model", {"plans": ["plan"]}, ["plans"])
    push(project, redis_url)
    with redis.Redis.from_url(redis_url) as client:
        *row, end = msgpack.unpackb(client.get("unbuilt:plans:{1}"))
        client.set("unbuilt:plans:{3}", encode_row([*row, end - 1]))
    answers = both(folder, redis_url, "model", [{"id": 1}, {"id": 2}, {"id": 3}])
    assert statuses(answers, "plan") == ["present", "present", "expired"]


KEYS = {
    "name": ("'a|b'", "''"), "day": ("date '2024-02-29'", "date '0001-01-01'"),
    "price": ("10.500::decimal(10, 3)", "-0.010::decimal(10, 3)"),
    "token": (f"'{TOKEN}'::uuid", f"'{UUID(int=0)}'::uuid"), "flag": ("true", "false"),
    "wall": ("timestamp '1969-12-31 23:59:59.999999'", "timestamp '9999-12-31'"),
    "instant": ("timestamptz '2024-01-01 00:00:00+01'", "timestamptz '1970-01-01 00:00:00+00'"),
    "whole": ("9223372036854775807::bigint", "(-1)::bigint"), "wide": ("(2::hugeint ** 70)::hugeint", "0::hugeint"),
}  # fmt: skip


def test_composite_keys_of_every_type_find_their_rows(project, folder, redis_url):
    rows = [
        f"select {', '.join(f'{values[at]} as {name}' for name, values in KEYS.items())}, {at} as answer"
        for at in (0, 1)
    ]
    block = {"entities": {"all_of_it": list(KEYS)}, "timeless": True, "features": ["answer"]}
    project.model("keyed", " union all ".join(rows), meta={"feature_view": block})
    project.service("model", {"keyed": ["answer"]}, ["keyed"])
    push(project, redis_url)
    first = {"name": "a|b", "day": "2024-02-29", "price": "10.500", "token": TOKEN.upper(), "flag": True, "wall": "-1",
             "instant": "1704063600000000", "whole": str(2**63 - 1), "wide": str(2**70)}  # fmt: skip
    last = {"name": "", "day": "0001-01-01", "price": "-00.01", "token": str(UUID(int=0)), "flag": False,
            "wall": "253402214400000000", "instant": 0, "whole": -1, "wide": 0}  # fmt: skip
    with NodeReader(folder, redis_url, "model", "unbuilt") as reader:
        found = reader.get([first, last, {**last, "flag": True}, {**last, "wide": None}])
    moments = {"wall": datetime(9999, 12, 31), "instant": datetime(1970, 1, 1, tzinfo=UTC)}
    first |= {"wall": "1969-12-31 23:59:59.999999", "instant": "2024-01-01T00:00:00+01:00"}
    last |= moments
    with FeatureClient(redis_url, "model", prefix="unbuilt") as client:
        assert found == answers_of(client, [first, last, {**last, "flag": True}, {**last, "wide": None}])
    assert column(found, "answer") == [(0, "present"), (1, "present"), (None, "missing"), (None, "missing")]


def test_what_a_push_changes_holds_for_the_next_answer_of_a_reader_that_runs(project, folder, redis_url):
    settings = {"name": "unbuilt", "version": "1.0.0", "profile": "unbuilt"}
    (project.folder / "dbt_project.yml").write_text(json.dumps(settings))  # the real clock
    rows = "(1, 2, 5, 0.5::double), (2, 0, null, 1.5)"
    rows = f"(values {rows}) as rows(id, hours, amount, ratio)"
    query = f"select *, timezone('UTC', now()) - to_hours(hours) as at from {rows}"
    asked = [{"id": 1}, {"id": 2}, {"id": 3}]

    def define(*features, default, ttl):
        columns = {"amount": {"feature": {"default": default}}}
        block = {"entities": {"thing": "id"}, "ttl": ttl, "features": list(features)}
        project.describe("totals", meta={"feature_view": block}, event_time="at", columns=columns)
        project.service("model", {"totals": list(features)}, ["totals"])
        push(project, redis_url)

    project.run(f"create table {{schema}}.totals as {query}")
    define("amount", default=0, ttl="1d")
    with (
        NodeReader(folder, redis_url, "model", "unbuilt") as reader,
        FeatureClient(redis_url, "model", prefix="unbuilt") as client,
    ):

        def amounts():
            found = reader.get(asked)
            assert found == answers_of(client, asked)
            return column(found, "amount")

        assert amounts() == [(5, "present"), (None, "null"), (0, "missing")]
        define("amount", default=9, ttl="1d")
        assert amounts() == [(5, "present"), (None, "null"), (9, "missing")]
        define("ratio", "amount", default=9, ttl="1d")
        assert amounts() == [(5, "present"), (None, "null"), (9, "missing")]
        assert column(reader.get(asked), "ratio") == [(0.5, "present"), (1.5, "present"), (None, "missing")]
        define("ratio", "amount", default=9, ttl="1h")
        assert amounts() == [(9, "missing"), (None, "null"), (9, "missing")]
        define("ratio", "amount", default=9, ttl="3h")
        assert amounts() == [(5, "present"), (None, "null"), (9, "missing")]
        with redis.Redis.from_url(redis_url) as other:
            other.flushall()
        with pytest.raises(RuntimeError, match="Redis has no unbuilt:service:model"):
            reader.get(asked)


VECTOR = json.loads((EXAMPLE / "tests" / "vectors" / "online.json").read_text())["service"]


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_the_card_and_the_rows_of_the_test_vectors_answer_as_they_say(folder, redis_url, language):
    prefix, service = VECTOR["prefix"], VECTOR["service"]
    with redis.Redis.from_url(redis_url) as client:
        client.set(f"{prefix}:revision", "1")
        client.set(f"{prefix}:service:{service}", json.dumps(VECTOR["card"]))
        client.mset({key: bytes.fromhex(row) for key, row in VECTOR["rows"].items()})
        for key, schemas in VECTOR["schemas"].items():
            client.hset(key, mapping={bytes.fromhex(each): json.dumps(schema) for each, schema in schemas.items()})
    entities = [each["entity"] for each in VECTOR["answers"]]
    if language == "python":
        with FeatureClient(redis_url, service, prefix=prefix) as client:
            found = answers_of(client, entities, on_error="null")
    else:
        with NodeReader(folder, redis_url, service, prefix, "null") as reader:
            found = reader.get(entities)
    for answer, expected in zip(found, VECTOR["answers"], strict=True):
        assert [*answer["values"].values()] == expected["values"]
        assert [*answer["statuses"].values()] == expected["statuses"]
        moments = [*answer["eventTimestamps"].values()]
        assert [moments[0], moments[-1]] == expected["event_timestamps"]


def test_a_reader_refuses_what_it_cannot_read_unless_it_is_asked_for_null(project, folder, redis_url):
    project.view("totals", "select 1 as id, 5 as amount", features=["amount"])
    project.service("model", {"totals": ["amount"]}, ["totals"])
    push(project, redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.set("unbuilt:totals:{1}", b"junk")
        with NodeReader(folder, redis_url, "model", "unbuilt") as reader:
            with pytest.raises(RuntimeError, match=r"amount of totals is invalid in unbuilt:totals:\{1\}"):
                reader.get([{"id": 1}])
            card = json.loads(client.get("unbuilt:service:model"))
            client.mset({"unbuilt:service:model": json.dumps({**card, "format": 2}), "unbuilt:revision": "2"})
            with pytest.raises(RuntimeError, match="format 2: get a newer reader"):
                reader.get([{"id": 1}])
            with pytest.raises(OnlineStoreError, match="a card of format 2"):
                FeatureClient(redis_url, "model", prefix="unbuilt").get(id=1)


def test_the_card_on_the_page_of_the_format_is_that_of_the_example(example, redis_url):
    page = (EXAMPLE / "docs" / "online-format.md").read_text()
    shown = json.loads(re.search(r"```json\n(\{.*?\n\})\n```", page, re.DOTALL)[1])
    with FeatureStore.open(
        example.folder, profiles_dir=example.variables["DBT_PROFILES_DIR"], redis_url=redis_url
    ) as store:
        store.push()
    with redis.Redis.from_url(redis_url) as client:
        card = json.loads(client.get(f"feature_sync:service:{shown['service']}"))
    selections = {each["view"]: each for each in card["selections"]}
    assert shown["selections"] == [selections[each["view"]] for each in shown["selections"]]
    assert shown.keys() == card.keys()
    for each in ("service", "keys", "shape"):
        assert shown[each] == card[each]


def test_the_page_of_the_format_names_every_field_of_a_card():
    page = (EXAMPLE / "docs" / "online-format.md").read_text()
    fields = {name for kind in (Card, CardSelection, CardFeature) for name in kind.__struct_fields__}
    assert [name for name in sorted(fields) if not re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", page)] == []
