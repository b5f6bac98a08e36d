"""BigQuery as a service: what it refuses is said in one line with the cure, jobs are labelled, nothing is half done."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from contextlib import suppress
from datetime import datetime, timedelta

import pyarrow
import pyarrow.parquet
import pytest
import sqlglot
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlglot import exp

from feature_sync import FeatureStore
from feature_sync.errors import ProfileError, WarehouseConflict, WarehouseError
from feature_sync.warehouses.bigquery.grants import JOBS, KEEPING, READING
from feature_sync.warehouses.bigquery.settings import BigQuerySettings
from tests.support import emulator
from tests.support.gateway import Gateway
from tests.support.meters import Meters, build_meters

NOON = datetime(2024, 1, 1, 12)


@pytest.fixture(scope="module")
def gateway(bigquery):
    with Gateway(bigquery) as opened:
        yield opened


@pytest.fixture(scope="module")
def built(gateway, tmp_path_factory):
    environment = {**gateway.environment, "METERS_SCHEMA": "watched_meters"}
    return build_meters(tmp_path_factory.mktemp("watched_meters"), "bigquery", environment)


@pytest.fixture
def meters(built, gateway, redis_url, monkeypatch):
    for name, value in built.environment.items():
        monkeypatch.setenv(name, value)
    gateway.heal()
    opened = Meters(built, redis_url)
    opened.reset()
    opened.many(10)
    gateway.jobs.clear()
    yield opened
    gateway.heal()
    opened.close()


REFUSALS = [
    pytest.param("quotaExceeded", 403, "Quota exceeded: your project", "wait until the quota is free", id="quota"),
    pytest.param("rateLimitExceeded", 429, "Exceeded rate limits", "fewer threads=", id="too many requests"),
    pytest.param("accessDenied", 403, "Access Denied: Dataset p:d", "grant the account", id="no permission"),
    pytest.param("notFound", 404, "Not found: Dataset p:d in location US", "set location", id="elsewhere"),
    pytest.param("backendError", 503, "Error encountered during execution", "run this again", id="backend error"),
    pytest.param("stopped", None, "Job execution was cancelled", "it had no effect", id="cancelled"),
    pytest.param("bytesBilledLimitExceeded", None, "Query exceeded limit", "maximum_bytes", id="cost"),
]


@pytest.mark.parametrize(("reason", "status", "message", "cure"), REFUSALS)
def test_what_bigquery_refuses_is_one_line_that_says_what_to_do(meters, gateway, reason, status, message, cure):
    gateway.fail(reason, message, status=status)
    with pytest.raises(WarehouseError) as refused:
        list(meters.store.push(["latest_readings"]))
    assert message in str(refused.value)
    assert cure in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize("statement", ["CREATE TABLE", "MERGE", "_rows_", "SELECT"])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_job_that_is_cancelled_midway_leaves_nothing_half_committed(meters, gateway, statement, times):
    meters.push()
    meters.run("update {t} set kwh = 7 where meter = 'm1'", "delete from {t} where meter = 'm2'")
    passed = 0

    def nth(job):
        nonlocal passed
        passed += statement in job["configuration"].get("query", {}).get("query", "")
        return passed == times

    gateway.fail_if(nth, "stopped", "Job execution was cancelled")
    with suppress(WarehouseError):  # what only tidies up may not be reached
        list(meters.store.push(["latest_readings"]))
    gateway.heal()
    meters.push()
    assert meters.value("m1") == (7.0, "present")
    assert meters.value("m2") == (None, "missing")
    assert meters.push().written == 0
    assert len(meters.sync_tables()) <= 4


def test_what_fails_in_passing_is_asked_again(meters, gateway):
    gateway.fail("backendError", "Error encountered during execution. Retrying may solve it", status=503, times=2)
    assert meters.push().written == 10


def test_every_job_says_what_it_is_for(meters, gateway):
    (pushed,) = meters.store.push(["latest_readings"])
    labels = [job["configuration"]["labels"] for job in gateway.jobs]
    assert {each["feature_sync"] for each in labels} == {"0_1_0"}
    assert {each.get("feature_view") for each in labels} == {None, "latest_readings"}
    assert {each.get("push") for each in labels} == {None, pushed.push}


def test_a_spine_from_a_file_is_loaded_as_parquet_and_gone_afterwards(meters, gateway, bigquery, tmp_path):
    path = tmp_path / "spine.parquet"
    moments = [NOON + timedelta(hours=1), NOON - timedelta(hours=1), None]
    spine = {"meter": ["m1", "m2", None], "event_timestamp": pyarrow.array(moments, pyarrow.timestamp("us"))}
    pyarrow.parquet.write_table(pyarrow.table({**spine, "label": [1.5, None, 2.5]}), path)
    answered = meters.store.get_training_set("latest_readings", path).to_arrow().to_pylist()
    assert sorted((row["meter"], row["label"], row["kwh"]) for row in answered if row["meter"]) == [
        ("m1", 1.5, 1.0), ("m2", None, None),
    ]  # fmt: skip
    assert len(answered) == 3
    (load,) = [job["configuration"] for job in gateway.jobs if "load" in job["configuration"]]
    assert load["labels"]["feature_sync"] == "0_1_0"
    assert not [each for each in emulator.tables(bigquery.endpoint, "watched_meters") if "spine" in each]


def test_a_spine_that_changes_between_two_queries_is_not_answered_for_other_moments(meters, gateway):
    """BigQuery's queries share no snapshot: those that bound what is read and those that answer may see two spines."""

    def counts_the_spine(job):
        sql = job["configuration"].get("query", {}).get("query", "")
        if "COUNT(" in sql and "questions" in sql:
            meters.run("update {t} set read_at = timestamp_add(read_at, interval 1 year) where meter = 'm1'")
        return False

    training_set = meters.store.get_training_set("latest_readings", "questions")
    assert training_set.to_arrow().num_rows == 10
    gateway.fail_if(counts_the_spine, "stopped", "never")
    with pytest.raises(WarehouseConflict, match="the spine was changed while it was read; run this again"):
        training_set.to_arrow()


def test_a_dry_run_shows_the_bytes_that_bigquery_would_scan(meters, gateway, built, redis_url):
    gateway.bytes_to_scan = 12_345_678
    done = built.feature_sync("push", "latest_readings", "--dry-run", "--redis-url", redis_url)
    assert "12.3 MB scanned" in done.stdout, done.stdout + done.stderr
    told = built.feature_sync("push", "latest_readings", "--dry-run", "--redis-url", redis_url, "--json")
    assert json.loads(told.stdout)["feature_views"][0]["scan_bytes"] == 12_345_678


def test_the_types_of_a_view_are_asked_for_without_running_anything(meters, gateway):
    list(meters.store.push(["latest_readings"], dry_run=True))
    described = [job["configuration"] for job in gateway.jobs if "where false" in str(job)]
    assert described == []


def test_what_the_profile_says_of_jobs_is_said_to_bigquery(built, gateway, redis_url, tmp_path, monkeypatch):
    for name, value in built.environment.items():
        monkeypatch.setenv(name, value)
    said = {
        "priority": "batch", "maximum_bytes_billed": 1_000_000, "job_execution_timeout_seconds": 77,
        "location": "EU", "execution_project": "who-pays", "threads": 1,
    }  # fmt: skip
    profile = yaml.safe_load((built.folder / "profiles.yml").read_text())
    profile["meters"]["outputs"]["bigquery"] |= said
    (tmp_path / "profiles.yml").write_text(yaml.safe_dump(profile))
    gateway.heal()
    gateway.jobs.clear()
    options = {"profiles_dir": str(tmp_path), "target": "bigquery", "redis_url": redis_url}
    with FeatureStore.open(built.folder, **options) as store, suppress(WarehouseError):  # the emulator has one project
        list(store.push(["latest_readings"]))
    job = next(job for job in gateway.jobs if not job["configuration"].get("dryRun"))
    assert job["configuration"]["query"]["priority"] == "BATCH"
    assert job["configuration"]["query"]["maximumBytesBilled"] == "1000000"
    assert job["configuration"]["jobTimeoutMs"] == "77000"
    assert (job["jobReference"]["location"], job["jobReference"]["projectId"]) == ("EU", "who-pays")


@pytest.fixture(scope="module")
def key():
    """A service account's key, as Google writes it, of nobody."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    words = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {
        "type": "service_account",
        "client_email": "nobody@example.com",
        "token_uri": "https://oauth2.googleapis.com/token",
        "private_key": private.private_bytes(*words).decode(),
    }


def test_every_method_of_dbt_finds_its_credentials(key, tmp_path):
    file = tmp_path / "key.json"
    file.write_text(json.dumps(key))
    by_file, _ = BigQuerySettings(method="service-account", keyfile=str(file)).credentials()
    escaped = {**key, "private_key": key["private_key"].replace("\n", "\\n")}  # as in an environment variable
    by_json, _ = BigQuerySettings(method="service-account-json", keyfile_json=escaped).credentials()
    assert by_file.service_account_email == by_json.service_account_email == "nobody@example.com"
    by_token, _ = BigQuerySettings(method="oauth-secrets", token="given").credentials()
    assert by_token.token == "given"
    acting, _ = BigQuerySettings(
        method="oauth-secrets", token="given", impersonate_service_account="other@example.com"
    ).credentials()
    assert acting.service_account_email == "other@example.com"
    with pytest.raises(ProfileError, match=r"method 'service-account' is not supported, or its key is missing"):
        BigQuerySettings(method="service-account").credentials()


def test_staging_reads_only_the_partitions_in_which_a_row_may_answer(meters, gateway):
    list(meters.store.push(["hourly_readings"], as_of="2024-01-01T12:30:00Z"))
    jobs = [job["configuration"] for job in gateway.jobs]
    statements = [job["query"]["query"] for job in jobs if "query" in job and not job.get("dryRun")]
    reads = [each for each in statements if "`hourly_readings`" in each and not each.startswith(("MERGE", "select"))]
    (collations,) = [each for each in reads if "FALSE" in each]
    assert "`read_at` = CAST('1970-01-01 00:00:00.000000+00:00' AS TIMESTAMP)" in collations  # no partition
    reads.remove(collations)
    (read,) = reads
    assert "`read_at` >= CAST('2024-01-01 11:30:00.000000+00:00' AS TIMESTAMP)" in read
    assert "`read_at` <= CAST('2024-01-01 12:30:00.000000+00:00' AS TIMESTAMP)" in read


# Rights

_ON_PROJECT = [
    (r"POST .*/projects/[^/]+/(jobs|queries)", "bigquery.jobs.create"),
    (r"GET .*/projects/[^/]+/(jobs|queries)/[^/]+", "bigquery.jobs.create"),  # of a job of its own
    (r"GET .*/datasets/[^/]+/tables/[^/]+/data", "bigquery.tables.getData"),
    (r"POST /upload.*", "bigquery.jobs.create"),
    (r"PUT /upload.*", "bigquery.jobs.create"),
    (r"GET .*/datasets/[^/]+/tables", "bigquery.tables.list"),
    (r"GET .*/datasets/[^/]+", "bigquery.datasets.get"),
]
"""The permission that each call of BigQuery's API needs, as Google's reference says."""
_OF_STATEMENTS = [
    (exp.Create, "bigquery.tables.create", "bigquery.tables.updateData"),
    (exp.Drop, "bigquery.tables.delete"),
    (exp.Alter, "bigquery.tables.get", "bigquery.tables.update"),
    ((exp.Merge, exp.Insert, exp.Update, exp.Delete), "bigquery.tables.getData", "bigquery.tables.updateData"),
]
"""The permissions on the table that a statement writes; reading a table needs `bigquery.tables.getData`."""


def asked_of(gateway) -> dict[str, set[str]]:
    """The permissions that calls and statements needed, by dataset; `` for the project."""
    needed: dict[str, set[str]] = defaultdict(set)
    for method, path in gateway.calls:
        found = [right for form, right in _ON_PROJECT if re.fullmatch(form, f"{method} {path}")]
        assert found, (method, path)
        dataset = re.search(r"/datasets/([^/]+)", path)
        needed[dataset[1] if dataset else ""].add(found[0])
    for job in gateway.jobs:
        if "load" in job["configuration"]:
            needed[job["configuration"]["load"]["destinationTable"]["datasetId"]].add("bigquery.tables.updateData")
        else:
            _of_statement(job["configuration"]["query"]["query"], needed)
    return {dataset: rights for dataset, rights in needed.items() if rights}


def _of_statement(text: str, needed: dict[str, set[str]]) -> None:
    statement = sqlglot.parse_one(text, dialect="bigquery")
    if isinstance(statement, exp.Create) and statement.kind == "SCHEMA":
        needed[""].add("bigquery.datasets.create")
        return
    written = None
    for kinds, *rights in _OF_STATEMENTS:
        if isinstance(statement, kinds):
            written = statement.find(exp.Table)
            needed[written.db].update(rights)
    for table in statement.find_all(exp.Table):
        if table.db and table is not written:
            needed[table.db].add("bigquery.tables.getData")


def test_every_call_needs_only_a_permission_that_the_page_and_the_grants_list(meters, gateway, tmp_path):
    models, states = meters.schema, meters.sync_schema
    gateway.calls.clear()
    meters.push()
    asked = asked_of(gateway)
    meters.run("update {t} set kwh = 7 where meter = 'm1'", "delete from {t} where meter = 'm2'")
    gateway.calls.clear()
    gateway.jobs.clear()
    meters.push(allow_removals=True)
    for dataset, rights in asked_of(gateway).items():
        asked[dataset] |= rights
    assert asked.keys() == {"", models, states}
    assert asked[""] <= {*JOBS, "bigquery.datasets.create"}
    assert asked[models] <= {*READING}
    assert asked[states] <= {*KEEPING}
    assert {"bigquery.tables.create", "bigquery.tables.delete", "bigquery.tables.updateData"} <= asked[states]
    gateway.calls.clear()
    gateway.jobs.clear()
    assert meters.store.verify(["latest_readings"]).is_equal
    assert meters.store.status(["latest_readings"])[0].problem is None
    assert meters.store.check(warehouse=True).errors == 0
    asked = asked_of(gateway)
    assert asked[""] <= {*JOBS}
    assert asked[models] <= {*READING}
    assert asked[states] <= {*READING}
    gateway.calls.clear()
    gateway.jobs.clear()
    spine = pyarrow.table({"meter": ["m1"], "event_timestamp": [NOON + timedelta(hours=1)]})
    assert meters.store.get_training_set("latest_readings", spine).to_arrow().num_rows == 1
    asked = asked_of(gateway)
    assert asked[""] <= {*JOBS}
    assert asked[models] <= {*KEEPING}


def test_the_grants_name_every_permission_and_each_dataset_once(meters):
    pusher, reader = "serviceAccount:push@p.iam.gserviceaccount.com", "group:science@example.com"
    text = meters.store.grants(pusher=pusher, reader=reader)
    assert all(right in text for right in (*JOBS, *READING, *KEEPING))
    statements = [line for line in text.splitlines() if line.startswith("grant ")]
    assert len(statements) == len({*statements}) == 4
    for statement in statements:
        role, _, dataset, principal = re.fullmatch(
            r'grant `(.*)` on (schema) `[^`]+`\.`([^`]+)` to "(.*)";', statement
        ).groups()
        assert (dataset == meters.sync_schema) or role == "roles/bigquery.dataViewer"
        assert (role == "roles/bigquery.dataEditor") is ((dataset, principal) == (meters.sync_schema, pusher))
    assert text.count(f"--member='{reader}'") == 2
