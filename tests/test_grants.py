"""Rights in the warehouse as `feature-sync grants` prints them: real roles of PostgreSQL, and the calls to BigQuery."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest

from feature_sync import FeatureStore
from feature_sync.definitions import Target
from feature_sync.errors import ProjectError, RequestError, UnknownName, WarehouseError
from feature_sync.warehouses.rights import NeededRights, grants
from tests.support.unbuilt import UnbuiltProject

ROLES = ("the pusher", "the reader")
SCHEMA = "granted"


@pytest.fixture(scope="module")
def project(postgres, tmp_path_factory):
    """Views and a spine, and the roles, which have no right yet."""
    made = UnbuiltProject(tmp_path_factory.mktemp("grants"), login=postgres.environment, schema=SCHEMA)
    made.view("orders", "select 1 as id, 2 as amount", features=["amount"])
    made.view("offline", "select 1 as id, 3 as score", features=["score"], online=False)
    made.model("asked", "select 1 as id, timestamp '2024-01-01' as event_timestamp", event_time="event_timestamp")
    made.model("secret", "select 1 as id")
    with postgres.connect() as connection:
        for role in ROLES:
            connection.execute(f'create role "{role}" login')
        yield made
        made.drop()
        for role in ROLES:
            connection.execute(f'drop owned by "{role}" cascade')
            connection.execute(f'drop role "{role}"')


@pytest.fixture(scope="module")
def granted(project, postgres):
    with closing(project.open("redis://nowhere")) as store:
        text = store.grants(pusher=ROLES[0], reader=ROLES[1], spines=["asked"])
    with postgres.connect() as connection:
        connection.execute(text)
        connection.execute(text)  # a second time changes nothing
    return text


@pytest.fixture
def opened(project, granted, redis_url):
    """Opens the project as a role."""
    stores = []

    def open_as(role: str):
        profile = project.folder / role.replace(" ", "_")
        profile.mkdir(exist_ok=True)
        text = (project.folder / "profiles.yml").read_text()
        (profile / "profiles.yml").write_text(text.replace('"user": "postgres"', f'"user": "{role}"'))
        project.open(redis_url).close()  # writes the manifest
        stores.append(FeatureStore.open(project.folder, redis_url=redis_url, profiles_dir=profile))
        return stores[-1]

    yield open_as
    for each in stores:
        each.close()


def test_the_pusher_pushes_and_the_reader_reads_with_exactly_these_grants(opened, project):
    pusher, reader = map(opened, ROLES)
    for full in (False, False, True):
        assert [each.held_back for each in pusher.push(gate=False, full_refresh=full)] == [None]
    assert reader.verify().is_equal
    assert {(each.problem, each.rows) for each in reader.status()} == {(None, 1)}
    training_set = reader.get_training_set(None, "asked", features=["orders:amount", "offline:score"])
    assert training_set.to_arrow().to_pylist()[0] | {"amount": 2, "score": 3} == training_set.to_arrow().to_pylist()[0]
    queried = reader.get_training_set(
        None, features=["orders:amount"], spine_sql="select 1 as id, now() as event_timestamp"
    )
    assert queried.to_arrow().num_rows == 1
    assert reader.check(warehouse=True).errors == 0


def test_a_table_that_dbt_makes_anew_can_still_be_read(opened, project):
    project.run("create table {schema}.new as table {schema}.orders", "drop table {schema}.orders")
    project.run("alter table {schema}.new rename to orders")
    pusher, reader = map(opened, ROLES)
    assert [each.held_back for each in pusher.push(gate=False)] == [None]
    assert reader.verify().is_equal


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("the pusher", "update granted.orders set amount = 0"),
        ("the pusher", "create table granted.mine as select 1 as one"),
        ("the pusher", "create schema mine"),
        ("the pusher", "drop table granted.orders"),
        ("the reader", "update granted.orders set amount = 0"),
        ("the reader", "create table granted.mine as select 1 as one"),
        ("the reader", "delete from granted_feature_sync.state"),
        ("the reader", "create table granted_feature_sync.mine as select 1 as one"),
    ],
)
def test_neither_writes_elsewhere(opened, postgres, role, statement):
    opened(ROLES[0]).push(gate=False)
    at = postgres.environment
    with (
        psycopg.connect(host=at["PGHOST"], port=at["PGPORT"], user=role, dbname=at["PGDATABASE"]) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


def test_the_pusher_reads_no_view_that_is_not_pushed_and_no_model_that_is_none(granted):
    reading = [line for line in granted.splitlines() if "select on" in line and '"the pusher"' in line]
    assert 'grant select on "granted"."orders" to "the pusher";' in reading
    assert not any("offline" in line or "secret" in line for line in reading)
    assert "secret" not in granted


@pytest.mark.parametrize(
    ("revoked", "command"),
    [
        ('select on "granted"."orders"', "push"),
        ('usage on schema "granted"', "push"),
        ('select on "granted"."offline"', "extract"),
        ('select on all tables in schema "granted_feature_sync"', "status"),
    ],
)
def test_a_grant_that_is_missing_is_named(opened, postgres, revoked, command):
    opened(ROLES[0]).push(gate=False)
    role = ROLES[0] if command == "push" else ROLES[1]
    store = opened(role)
    with postgres.connect() as connection:
        connection.execute(f'revoke {revoked} from "{role}"')
        try:
            if command == "push":
                with pytest.raises(WarehouseError) as refused:
                    store.push(gate=False)
                said = str(refused.value)
            elif command == "extract":
                with pytest.raises(WarehouseError) as refused:
                    store.get_training_set(None, "asked", features=["offline:score"]).to_arrow()
                said = str(refused.value)
            else:
                said = next(each.problem for each in store.status())
        finally:
            connection.execute(f'grant {revoked} to "{role}"')
    assert f'grant {revoked} to "{role}"' in said or "grant select on" in said, said


# What is refused


def needed(**changes) -> NeededRights:
    return NeededRights(
        **{"pushed": {"v": '"d"."s"."v"'}, "read": {"v": '"d"."s"."v"'}, "state_schema": "s_feature_sync",
           "pusher": "p", "reader": "r", **changes}
    )  # fmt: skip


def target(adapter: str, **settings) -> Target:
    return Target(profile="p", name="dev", adapter=adapter, settings={"schema": "s", **settings}, project_dir=".")


@pytest.mark.parametrize(
    ("on", "changes", "reason"),
    [
        (target("duckdb"), {}, "is duckdb, which has no roles"),
        (target("spark"), {}, "is spark, whose rights are those of its catalog"),
        (target("postgres", host="h", user="u", dbname="d"), {"reader": "p"}, "are both 'p'"),
        (target("postgres", host="h", user="p", dbname="d"), {}, "'p' runs dbt"),
        (target("postgres", host="h", user="u", role="r", dbname="d"), {}, "'r' runs dbt"),
        (target("bigquery", method="oauth", project="x"), {}, "pusher: 'p' is not a principal of IAM"),
        (target("bigquery", method="oauth", project="x"), {"pusher": "user:a@b'"}, "is not a principal of IAM"),
    ],
)
def test_what_makes_no_sense_is_refused(on, changes, reason):
    with pytest.raises(RequestError, match=reason):
        grants(on, needed(**changes))


def test_names_are_quoted_and_a_spine_must_exist(project):
    on = target("postgres", host="h", user="u", dbname='my "data"')
    text = grants(on, needed(pushed={"v": '"d"."s"."a ""b"" c"'}, pusher='P"; drop'))
    assert 'grant select on "s"."a ""b"" c" to "P""; drop";' in text
    assert 'grant temporary on database "my ""data"""' in text
    with closing(project.open("redis://nowhere")) as store, pytest.raises(UnknownName, match="did you mean 'asked'"):
        store.grants(spines=["askd"])


def test_a_manifest_of_another_warehouse_is_refused_since_its_relations_have_other_names(project):
    path = project.folder / "target" / "manifest.json"
    with closing(project.open("redis://nowhere")) as store:
        path.write_text(path.read_text().replace('"adapter_type": "postgres"', '"adapter_type": "duckdb"'))
        with pytest.raises(ProjectError, match="was written for duckdb, but the target unbuilt is postgres"):
            store.grants()


def test_the_pusher_reads_the_watermark_beside_a_view_that_streams(postgres, tmp_path):
    made = UnbuiltProject(tmp_path, login=postgres.environment, schema="streamed")
    made.view("visits", "select 1 as id, now() as at, 2 as seen", features=["seen"], event_time="at",
              stream={"topic": "visits"})  # fmt: skip
    made.view("orders", "select 1 as id, 2 as amount", features=["amount"])
    with closing(made.open("redis://nowhere")) as store:
        lines = store.grants(pusher=ROLES[0], reader=ROLES[1]).splitlines()
    made.drop()
    assert 'grant select on "streamed"."visits__watermark" to "the pusher";' in lines
    assert not any("orders__watermark" in line for line in lines)
