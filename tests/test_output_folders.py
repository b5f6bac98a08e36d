"""Training sets in several files: the folder is whole or as it was; and places that nobody can write to."""

from __future__ import annotations

import json
import subprocess
import sys

import pyarrow
import pyarrow.parquet
import pytest

from feature_sync.errors import OutputError, RequestError, WarehouseError
from tests.support.unbuilt import UnbuiltProject

ROWS = 1_000


@pytest.fixture
def project(tmp_path):
    made = UnbuiltProject(tmp_path / "project")
    made.view("trips", f"select n as id, n / 2 as fee from range({ROWS}) as numbers(n)", features=["fee"])
    made.model("asked", f"select n as id, now() as asked_at from range({ROWS}) as numbers(n)", event_time="asked_at")
    return made


@pytest.fixture
def training_set(project):
    with project.open("redis://localhost:1") as store:
        yield store.get_training_set(None, "asked", features=["trips:fee"])


def names_in(folder) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.mark.parametrize(("rows", "files"), [(1, ROWS), (300, 4), (500, 2), (ROWS, 1), (10**9, 1)])
def test_files_hold_so_many_rows_in_order(training_set, tmp_path, rows, files):
    folder = tmp_path / "out" / "parts"
    extract = training_set.write(folder, rows_per_file=rows)
    parts = [f"part-{number:05}.parquet" for number in range(files)]
    assert names_in(folder) == parts == list(extract.file_names)
    assert names_in(folder.parent) == ["parts", "parts.json"]
    tables = [pyarrow.parquet.read_table(folder / each) for each in parts]
    assert [each.num_rows for each in tables[:-1]] == [rows] * (files - 1)
    assert pyarrow.concat_tables(tables).equals(training_set.to_arrow())
    assert json.loads((folder.parent / "parts.json").read_text())["file_names"] == parts


def test_a_training_set_without_rows_is_one_file_with_its_columns(project, tmp_path):
    with project.open("redis://localhost:1") as store:
        empty = store.get_training_set(None, "asked", features=["trips:fee"], limit=0)
        empty.write(tmp_path / "parts", rows_per_file=10)
    (part,) = (tmp_path / "parts").iterdir()
    assert pyarrow.parquet.read_table(part).column_names == ["id", "asked_at", "fee"]


def test_a_shorter_run_leaves_no_part_of_the_longer_one_before(training_set, tmp_path):
    for rows, files in ((100, 10), (400, 3)):
        training_set.write(tmp_path / "parts", rows_per_file=rows)
        assert len(names_in(tmp_path / "parts")) == files
    assert names_in(tmp_path) == ["parts", "parts.json", "project"]


def test_what_is_not_ours_is_never_removed(training_set, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "notes.txt").write_text("keep me")
    with pytest.raises(OutputError, match=r"parts holds notes.txt, which is not ours to remove"):
        training_set.write(tmp_path / "parts", rows_per_file=100)
    (tmp_path / "file").write_text("keep me, too")
    with pytest.raises(OutputError, match="file is a file; name a folder, or leave out rows_per_file="):
        training_set.write(tmp_path / "file", rows_per_file=100)
    assert names_in(tmp_path) == ["file", "parts", "project"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), WarehouseError("gone")], ids=["Ctrl-C", "an error"])
def test_what_fails_or_is_cancelled_leaves_everything_as_it_was(training_set, tmp_path, error):
    def fail(rows: int) -> None:
        raise error

    with pytest.raises(type(error)):
        training_set.write(tmp_path / "parts", fail, rows_per_file=10)
    assert names_in(tmp_path) == ["project"]
    training_set.write(tmp_path / "parts", rows_per_file=300)
    before = {each.name: each.read_bytes() for each in (tmp_path / "parts").iterdir()}
    with pytest.raises(type(error)):
        training_set.write(tmp_path / "parts", fail, rows_per_file=10)
    assert names_in(tmp_path) == ["parts", "parts.json", "project"]
    assert {each.name: each.read_bytes() for each in (tmp_path / "parts").iterdir()} == before


def test_a_run_that_was_killed_leaves_the_old_files_and_the_next_puts_all_right(training_set, project, tmp_path):
    training_set.write(tmp_path / "parts", rows_per_file=300)
    before = names_in(tmp_path / "parts")
    program = (
        "import os, signal, sys; from feature_sync import FeatureStore\n"
        "store = FeatureStore(sys.argv[1], profiles_dir=sys.argv[1])\n"
        "rows = store.get_training_set(None, 'asked', features=['trips:fee'])\n"
        "rows.write(sys.argv[2], lambda rows: os.kill(os.getpid(), signal.SIGKILL), rows_per_file=10)\n"
    )
    command = [sys.executable, "-c", program, str(project.folder), str(tmp_path / "parts")]
    killed = subprocess.run(command, capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr
    assert names_in(tmp_path / "parts") == before
    training_set.write(tmp_path / "parts", rows_per_file=500)
    assert names_in(tmp_path / "parts") == ["part-00000.parquet", "part-00001.parquet"]


@pytest.mark.parametrize(
    ("path", "options", "told"),
    [
        ("parts.parquet", {"rows_per_file": 10}, "parts.parquet would be a folder"),
        ("parts.csv", {"rows_per_file": 10}, "parts.csv would be a folder"),
        ("parts", {}, "ends in neither .parquet nor .csv"),
        ("parts", {"rows_per_file": 0}, "0 rows a file are not possible"),
        ("ftp://host/set.parquet", {}, "ftp://host/set.parquet is neither a path nor a URI that can be written to"),
        ("abfs://container@account/set.parquet", {}, "s3://BUCKET/NAME and gs://BUCKET/NAME are"),
        ("s3:/bucket/set.parquet", {}, "is neither a path nor a URI"),
        ("s3://bucket", {}, "ends in neither"),
        ("s3://bucket/set", {}, "ends in neither"),
        ("s3:///set.parquet", {}, "has no bucket or no name"),
        ("S3X://user:s3cret@bucket/set.parquet?secret_key=s3cret", {}, "is neither a path nor a URI"),
    ],
    ids=str,
)
def test_a_place_that_makes_no_sense_is_refused_at_once(training_set, tmp_path, monkeypatch, path, options, told):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match=told) as refused:
        training_set.write(path, **options)
    assert "s3cret" not in str(refused.value)
    assert names_in(tmp_path) == ["project"]
