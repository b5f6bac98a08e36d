"""Training sets in S3 and Google Cloud Storage: an object is there whole or not at all, the sidecar last."""

from __future__ import annotations

import json
from datetime import datetime
from urllib.parse import urlsplit

import pyarrow
import pyarrow.fs
import pyarrow.parquet
import pytest

from feature_sync.errors import OutputError, RequestError, WarehouseError
from tests.support.object_servers import BUCKET, gcs, s3
from tests.support.unbuilt import UnbuiltProject

pytestmark = pytest.mark.slow
ROWS = 1_000


@pytest.fixture(scope="module", params=["s3", "gs"])
def server(request):
    with s3() if request.param == "s3" else gcs() as started:
        yield started


@pytest.fixture
def bucket(server, monkeypatch):
    """The bucket, emptied."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    store, _ = pyarrow.fs.FileSystem.from_uri(server.uri("x"))
    for each in store.get_file_info(pyarrow.fs.FileSelector(BUCKET, recursive=True)):
        if each.is_file:
            store.delete_file(each.path)
    return store


@pytest.fixture
def training_set(tmp_path):
    project = UnbuiltProject(tmp_path / "project")
    project.view("trips", f"select n as id, n / 2 as fee from range({ROWS}) as numbers(n)", features=["fee"])
    project.model("asked", f"select n as id, now() as asked_at from range({ROWS}) as numbers(n)", event_time="asked_at")
    with project.open("redis://localhost:1") as store:
        yield store.get_training_set(None, "asked", features=["trips:fee"])


def names_in(bucket) -> list[str]:
    found = bucket.get_file_info(pyarrow.fs.FileSelector(BUCKET, recursive=True))
    return sorted(each.path.removeprefix(f"{BUCKET}/") for each in found if each.is_file)


def sidecar_in(bucket, name: str) -> dict:
    with bucket.open_input_stream(f"{BUCKET}/{name}") as stream:
        return json.loads(stream.read())


def test_a_training_set_is_one_object_with_its_sidecar_beside(training_set, server, bucket, tmp_path):
    extract = training_set.write(server.uri("a/set.parquet"))
    local = training_set.write(tmp_path / "set.parquet")
    assert names_in(bucket) == ["a/set.parquet", "a/set.parquet.json"]
    assert extract.path == f"{urlsplit(server.root).scheme}://{BUCKET}/a/set.parquet"
    table = pyarrow.parquet.read_table(f"{BUCKET}/a/set.parquet", filesystem=bucket)
    assert table.equals(pyarrow.parquet.read_table(local.path))
    assert sidecar_in(bucket, "a/set.parquet.json") == json.loads(local.sidecar.read_text())
    training_set.write(server.uri("a/set.csv"))
    assert "a/set.csv" in names_in(bucket)


def test_a_shorter_folder_leaves_no_part_of_the_longer_one_before(training_set, server, bucket):
    for rows, files in ((100, 10), (400, 3)):
        training_set.write(server.uri("parts"), rows_per_file=rows)
        parts = [f"part-{number:05}.parquet" for number in range(files)]
        assert names_in(bucket) == ["parts.json", *(f"parts/{each}" for each in parts)]
        assert sidecar_in(bucket, "parts.json")["file_names"] == parts
        tables = [pyarrow.parquet.read_table(f"{BUCKET}/parts/{each}", filesystem=bucket) for each in parts]
        assert [each.num_rows for each in tables[:-1]] == [rows] * (files - 1)
        assert pyarrow.concat_tables(tables).sort_by("id").equals(training_set.to_arrow().sort_by("id"))


def test_what_is_not_ours_is_never_removed(training_set, server, bucket):
    with bucket.open_output_stream(f"{BUCKET}/parts/notes.txt") as stream:
        stream.write(b"keep me")
    with pytest.raises(OutputError, match=r"holds notes.txt, which is not ours to remove"):
        training_set.write(server.uri("parts"), rows_per_file=100)
    assert names_in(bucket) == ["parts/notes.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, WarehouseError("gone")], ids=["Ctrl-C", "an error"])
def test_what_fails_or_is_cancelled_leaves_no_object_and_the_old_one_whole(training_set, server, bucket, error):
    def fail(rows: int) -> None:
        raise error

    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        training_set.write(server.uri("set.parquet"), fail)
    assert names_in(bucket) == []
    training_set.write(server.uri("set.parquet"))
    before = sidecar_in(bucket, "set.parquet.json")
    for options in ({}, {"rows_per_file": 10}):
        name = "set.parquet" if not options else "set"
        with pytest.raises(type(error) if isinstance(error, Exception) else error):
            training_set.write(server.uri(name), fail, **options)
    assert names_in(bucket) == ["set.parquet", "set.parquet.json"]
    assert sidecar_in(bucket, "set.parquet.json") == before


def test_a_bucket_that_is_not_there_is_an_error_before_the_query(training_set, server, bucket):
    uri = server.uri("set.parquet").replace(BUCKET, "no-such-bucket")
    with pytest.raises(OutputError, match=r"no-such-bucket/set.parquet cannot be written: the bucket does not exist"):
        training_set.write(uri)


def test_a_store_that_is_away_is_an_error_in_our_words_and_no_option_of_the_uri_is_shown(
    training_set, server, bucket, monkeypatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    away = {
        "s3": f"s3://me:s3cret@{BUCKET}/set.parquet?region=us-east-1",
        "gs": f"gs://anonymous@{BUCKET}/set.parquet?retry_limit_seconds=1&endpoint_override=127.0.0.1:1&scheme=http",
    }[urlsplit(server.root).scheme]
    with pytest.raises(OutputError, match="the store cannot be reached") as refused:
        training_set.write(away)
    assert "s3cret" not in str(refused.value)
    assert "?" not in str(refused.value)


@pytest.mark.parametrize("option", ["regoin=x", "secret_key=s3cret"])
def test_an_unknown_option_is_refused_without_its_value(training_set, server, bucket, option):
    with pytest.raises((RequestError, OutputError)) as refused:
        training_set.write(f"{server.root}/set.parquet?{option}")
    assert "s3cret" not in str(refused.value)


def test_a_folder_and_an_object_are_spines(server, bucket, tmp_path):
    project = UnbuiltProject(tmp_path / "project")
    project.view("trips", "select n as id, n / 2 as fee from range(10) as numbers(n)", features=["fee"])
    moment = pyarrow.array([datetime(2024, 1, 1)])
    for key in (1, 2):
        table = pyarrow.table({"event_timestamp": moment, "note": [f"n{key}"]})
        name = f"asked/id={key}/a.parquet"
        bucket.create_dir(f"{BUCKET}/asked/id={key}", recursive=True)
        pyarrow.parquet.write_table(table, f"{BUCKET}/{name}", filesystem=bucket)
    whole = pyarrow.table({"id": [1, 2], "event_timestamp": moment.take([0, 0]), "note": ["n1", "n2"]})
    pyarrow.parquet.write_table(whole, f"{BUCKET}/whole.parquet", filesystem=bucket)
    with project.open("redis://localhost:1") as store:
        for place, kind in (("asked", "folder"), ("whole.parquet", "file")):
            asked = store.get_training_set(None, server.uri(place), features=["trips:fee"])
            found = asked.to_arrow().to_pylist()
            assert [(row["id"], row["note"], row["fee"]) for row in found] == [(1, "n1", 0.5), (2, "n2", 1.0)]
            origin = json.loads(asked.write(tmp_path / "set.parquet").sidecar.read_text())["spine"]
            assert origin[kind] == f"{urlsplit(server.root).scheme}://{BUCKET}/{place}"
        with pytest.raises(RequestError, match=r"nowhere.*(cannot be read|there is no such folder)"):
            store.get_training_set(None, server.uri("nowhere"), features=["trips:fee"])
