"""Keys whose collation calls different texts equal are refused by every command that meets them."""

from __future__ import annotations

import pytest

from feature_sync.errors import DefinitionError
from tests.support.unbuilt import UnbuiltProject

ASKS = "timestamp '2024-01-02' as event_timestamp"


@pytest.mark.parametrize(
    ("collation", "alike"), [("nocase", "'A' and 'a'"), ("noaccent", "'é' and 'e'"), ("nfc", "'é' and 'e\u0301'")]
)
def test_a_key_with_a_collation_that_redis_does_not_know_is_refused_everywhere(tmp_path, redis_url, collation, alike):
    project = UnbuiltProject(tmp_path / "project")
    project.run(f"create table main.people (id varchar collate {collation}, age integer)",
                "insert into main.people values ('A', 7)", "create view main.names as select * from main.people",
                "create table main.plain as select 'A' as id, 180 as height")  # fmt: skip
    for name, feature in (("people", "age"), ("names", "age"), ("plain", "height")):
        block = {"entities": {"person": "id"}, "timeless": True, "features": [feature]}
        project.describe(name, meta={"feature_view": block})
    query = f"select 'a' as id, {ASKS}"
    with project.open(redis_url) as store:
        for name in ("people", "names"):
            words = rf"models/models\.yml: model\.unbuilt\.{name}: columns\.id: .* treats {alike} as equal"
            with pytest.raises(DefinitionError, match=words):
                list(store.push([name], gate=False))
            with pytest.raises(DefinitionError, match=words):
                store.get_training_set(name, spine_sql=query).to_arrow()
        findings = store.check(warehouse=True).findings
        assert [(each.node, each.key) for each in findings if "equal" in each.message] == [
            ("model.unbuilt.names", "columns.id"),
            ("model.unbuilt.people", "columns.id"),
        ]
        assert [each.held_back for each in store.push(["plain"], gate=False)] == [None]
        assert store.get_training_set("plain", spine_sql=query).to_arrow().num_rows == 1
        with pytest.raises(DefinitionError, match=f"spine_sql: columns.id: .* treats {alike} as equal"):
            store.get_training_set("plain", spine_sql=f"select id, {ASKS} from main.people").to_arrow()


def test_a_default_collation_of_the_profile_changes_no_key(tmp_path, redis_url):
    project = UnbuiltProject(tmp_path / "project", settings={"default_collation": "nocase"})
    project.view("people", "select 'A' as id, 7 as age", features=["age"])
    query = f"select unnest(['A', 'a']) as id, {ASKS}"
    with project.open(redis_url) as store:
        assert [each.held_back for each in store.push(gate=False)] == [None]
        served = {key: store.get_feature_vector("people", {"id": key}).to_dict()["age"] for key in "Aa"}
        trained = store.get_training_set("people", spine_sql=query).to_arrow().to_pylist()
    assert served == {row["id"]: row["age"] for row in trained} == {"A": 7, "a": None}


def test_a_case_insensitive_type_is_refused_by_its_name(tmp_path, redis_url, postgres):
    project = UnbuiltProject(tmp_path / "project", login=postgres.environment, schema="collations")
    try:
        project.run("create extension if not exists citext schema {schema}")
        project.view("people", "select cast('A' as collations.citext) as id, 7 as age", features=["age"])
        project.view("plain", "select cast('A' as varchar(3)) as id, 7 as age", features=["age"])
        with project.open(redis_url) as store:
            words = r"model\.unbuilt\.people: columns\.id\.data_type: '.*citext' cannot be a join key"
            with pytest.raises(DefinitionError, match=words):
                list(store.push(["people"], gate=False))
            with pytest.raises(DefinitionError, match=words):
                store.get_training_set("people", spine_sql=f"select 'a' as id, {ASKS}").to_arrow()
            assert any("citext" in each.message for each in store.check(warehouse=True).findings)
            assert [each.held_back for each in store.push(["plain"], gate=False)] == [None]
    finally:
        project.drop()
