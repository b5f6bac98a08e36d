"""The embedded Redis: only its owner reads its files, any folder holds it, and what a crash leaves is put right."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
import redis

from feature_sync.errors import OnlineStoreError
from feature_sync.online.redis.orphans import servers_in
from feature_sync.online.redis.server import EmbeddedServer


@pytest.fixture
def short():
    """A short folder: the path of a unix socket is limited."""
    folder = Path(tempfile.mkdtemp(prefix="redis"))
    yield folder
    for name in folder.iterdir():
        EmbeddedServer(name).stop()
    shutil.rmtree(folder)


def test_only_the_owner_reads_what_the_embedded_redis_writes(short):
    (short / "redis").mkdir(mode=0o755)
    before = os.umask(0o022)
    try:
        url = EmbeddedServer(short / "redis").start()
    finally:
        os.umask(before)
    with redis.Redis.from_url(url) as client:
        client.set("a", 1)
    written = [short / "redis", *(short / "redis").rglob("*")]
    assert {"redis.conf", "redis.log", "appendonlydir", "redis.sock"} <= {each.name for each in written}
    assert [each for each in written if each.lstat().st_mode & 0o077] == []


@pytest.mark.parametrize(
    "name", ["a#b?c=d", '"quo\'ted" \\x41', "new\nline", "[a]*%41", "x" * 120, os.fsdecode(b"\xff")]
)
def test_a_folder_of_any_name_holds_it_and_a_lost_configuration_does_not_orphan_it(short, name):
    server = EmbeddedServer(short / name)
    with redis.Redis.from_url(server.start()) as client:
        client.set("a", 1)
    first = server.pid
    configuration = short / name / "redis.conf"
    configuration.write_text(configuration.read_text()[:40])
    assert (server.url, server.pid, servers_in(short / name)) == (None, None, [first])
    with redis.Redis.from_url(server.start()) as client:
        assert client.get("a") == b"1"
    assert servers_in(short / name) == [server.pid] != [first]
    configuration.write_text("")
    assert (server.stop(), server.stop(), servers_in(short / name)) == (True, False, [])


@pytest.mark.parametrize("content", [b"", b"\x00\xff\n", b"port\n", b"port abc\nrequirepass x\n", b"port 63"])
def test_a_configuration_that_is_cut_off_counts_as_none(tmp_path, content):
    (tmp_path / "redis.conf").write_bytes(content)
    server = EmbeddedServer(tmp_path)
    assert (server.url, server.pid, server.stop()) == (None, None, False)


def test_a_server_whose_folder_was_deleted_is_ended_by_the_next_start(short):
    server = EmbeddedServer(short / "redis")
    server.start()
    first = server.pid
    shutil.rmtree(short / "redis")
    server.start()
    assert servers_in(short / "redis") == [server.pid] != [first]


def test_a_place_that_can_hold_no_folder_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "redis" / "lock").mkdir(parents=True)
    for folder in (tmp_path / "file" / "redis", tmp_path / ("x" * 300), tmp_path / "redis"):
        with pytest.raises(OnlineStoreError, match=r"cannot hold the embedded Redis: \w+"):
            EmbeddedServer(folder).start()
