"""Tables of a lake in S3 and Google Cloud Storage are read as those in folders are, and what is not there is named."""

from __future__ import annotations

import operator
import re
from contextlib import ExitStack
from urllib.parse import urlsplit

import pyarrow
import pyarrow.fs
import pytest

from feature_sync.online.redis.server import _free_port
from tests.support.lake import ADDED, LakeTable, LakeWorker, Refused
from tests.support.object_servers import gcs, gcs_xml, s3

pytestmark = pytest.mark.slow
SERVERS = {"s3": s3, "gs": gcs, "gs by XML": gcs_xml}
READ = [
    ("s3", "hudi"),
    ("s3", "delta"),
    ("s3", "iceberg"),
    ("s3", "parquet"),
    ("gs", "iceberg"),
    ("gs", "parquet"),
    ("gs by XML", "hudi"),
    ("gs by XML", "delta"),
]


@pytest.fixture(scope="module")
def servers():
    """Each server, with a worker in its environment, started when it is asked for."""
    started = {}
    with ExitStack() as stack:

        def ask(name):
            if name not in started:
                server = stack.enter_context(SERVERS[name]())
                worker = LakeWorker(server.environment)
                stack.callback(worker.close)
                started[name] = server, worker
            return started[name]

        yield ask


class ObjectTable:
    """A table that was written into a folder and copied, or by pyiceberg into the bucket itself."""

    def __init__(self, server, worker, format_, folder, monkeypatch):
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        self.server, self.worker, self.format, self.place = server, worker, format_, folder.name
        self.local = LakeTable(worker, "delta" if format_ == "parquet" else format_, folder)
        uri = server.uri("x")
        if "AWS_ENDPOINT_URL" in server.environment:  # also of the server of Google's XML protocol
            uri = f"s3://{urlsplit(uri).netloc.removeprefix('anonymous@')}/x"
        self.store, path = pyarrow.fs.FileSystem.from_uri(uri)
        self.bucket = path.partition("/")[0]

    def uri(self, name="rows") -> str:
        return self.server.uri(f"{self.place}/{name}")

    @property
    def catalog(self) -> dict:
        options = {"warehouse": f"{urlsplit(self.server.root).scheme}://{self.bucket}/{self.place}"}
        if self.server.query:
            host = self.server.query.partition("endpoint_override=")[2].partition("&")[0]
            options |= {"gcs.service.host": f"http://{host}", "gcs.oauth2.token": "any"}
            options |= {"gcs.oauth2.token-expires-at": "4102444800000"}
        return {**self.local.catalog, **options}

    def commit(self, rows, deleted=()):
        if self.format == "iceberg":
            endpoint = {"s3.endpoint": self.server.environment.get("AWS_ENDPOINT_URL", "")}  # the plugin finds it
            self.worker.ask(
                "commit_to_iceberg", self.catalog | endpoint, "shop.rows", rows, key="id", deleted=list(deleted)
            )
            return
        if self.format == "parquet":
            self.worker.ask("write_day", self.local.path, rows.append_column("day", [["monday"] * rows.num_rows]))
        else:
            self.local.commit(rows, deleted)
        target = f"{self.bucket}/{self.place}/rows"
        pyarrow.fs.copy_files(
            self.local.path, target, source_filesystem=pyarrow.fs.LocalFileSystem(), destination_filesystem=self.store
        )

    def read(self, **settings) -> list[dict]:
        place = {"path": self.uri()}
        if self.format == "iceberg":
            place = {"iceberg_catalog": "shop", "iceberg_table": "shop.rows"}
        found = self.worker.read({"format": self.format, **place, **settings}, {"catalogs": {"shop": self.catalog}})
        return sorted(found.to_pylist(), key=operator.itemgetter("id"))

    def delete(self, suffix) -> str:
        """Delete the first object whose name ends so."""
        found = self.store.get_file_info(pyarrow.fs.FileSelector(f"{self.bucket}/{self.place}", recursive=True))
        name = min(each.path for each in found if each.is_file and each.path.endswith(suffix))
        self.store.delete_file(name)
        return name


def rows(values: dict) -> pyarrow.Table:
    ids, amounts = pyarrow.array(list(values), pyarrow.int64()), pyarrow.array(list(values.values()), pyarrow.float64())
    return pyarrow.table({"id": ids, "amount": amounts})


@pytest.fixture(params=READ, ids=" ".join)
def table(request, servers, tmp_path, monkeypatch):
    name, format_ = request.param
    return ObjectTable(*servers(name), format_, tmp_path, monkeypatch)


def plain(found: list[dict]) -> dict:
    return {row["id"]: row["amount"] for row in found}


def test_a_table_in_a_bucket_is_read_as_one_in_a_folder_in_each_version(table):
    table.commit(rows({1: 10.0, 2: 20.0, 3: None}))
    if table.format == "parquet":
        assert plain(table.read()) == {1: 10.0, 2: 20.0, 3: None}
        assert plain(table.read(filters=[["amount", ">", 10]])) == {2: 20.0}
        return
    (first,) = {row["lake_version"] for row in table.read()}
    table.commit(rows({2: 22.0, 4: 40.0}), deleted=[1])
    assert plain(table.read()) == {2: 22.0, 3: None, 4: 40.0}
    assert plain(table.read(as_of=first)) == {1: 10.0, 2: 20.0, 3: None}
    assert plain(table.read(filters=[["amount", ">", 30]])) == {4: 40.0}
    history = table.read(history=True)
    assert {row["lake_version"] for row in history} > {first}
    assert {*ADDED} <= {*history[0]}


def test_a_file_that_is_lost_from_a_bucket_is_an_error(table):
    table.commit(rows({1: 10.0}))
    lost = table.delete(".parquet")
    with pytest.raises(Refused, match=r"is gone|no such folder with Parquet files") as refused:
        table.read()
    if table.format in ("hudi", "delta"):  # Arrow's error of Google's store does not name it
        assert lost.rpartition("/")[2] in str(refused.value)
    assert "Error performing" not in str(refused.value)


@pytest.mark.parametrize("format_", ["hudi", "delta", "iceberg", "parquet"])
def test_what_is_not_there_is_named_in_a_short_text(format_, servers, tmp_path, monkeypatch):
    table = ObjectTable(*servers("s3"), format_, tmp_path, monkeypatch)
    uri = table.uri("none")
    assert re.search(r"there is no (Hudi|Delta|such folder)|is gone", refusal(table, uri))
    assert "the bucket does not exist" in refusal(table, uri.replace(table.bucket, "no-such-bucket"))
    dead = f"{uri}?endpoint_override=127.0.0.1:{_free_port()}&scheme=http"
    assert "the store cannot be reached" in refusal(table, dead)


def refusal(table: ObjectTable, path: str) -> str:
    with pytest.raises(Refused) as refused:
        table.worker.read({"format": table.format, "path": path})
    text = str(refused.value)
    assert path.partition("?")[0] in text
    assert "endpoint_override" not in text
    assert len(text) < 500
    return text


def test_options_of_the_profile_have_the_last_word_and_no_secret_is_shown(servers, tmp_path, monkeypatch):
    table = ObjectTable(*servers("s3"), "hudi", tmp_path, monkeypatch)
    table.commit(rows({1: 10.0}))
    endpoint = table.server.environment["AWS_ENDPOINT_URL"]
    source = {"format": "hudi", "path": f"{table.uri()}?endpoint_override=127.0.0.1:9&scheme=http"}
    options = {"aws_endpoint_url": endpoint}
    assert table.worker.read(source, {"storage_options": options}).column("amount").to_pylist() == [10.0]
    with pytest.raises(Refused, match=r"there is no Hudi table") as refused:
        table.worker.read({**source, "path": table.uri("none").replace("s3://", "s3://someone:hunter2@")})
    assert "hunter2" not in str(refused.value)
