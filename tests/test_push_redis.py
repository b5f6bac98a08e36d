"""The push and Redis: ways to connect, refusals, connections that are cut, restarts, and pushers that come too late."""

from __future__ import annotations

import json
import os
import signal
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import trustme

from feature_sync.errors import LeaseHeld, OnlineStoreError
from tests.support.meters import Meters, build_meters
from tests.support.naive import differences
from tests.support.projects import BuiltProject
from tests.support.proxy import RECEIVED, SENT, Proxy
from tests.support.pusher import PushServer
from tests.support.redis_server import RedisServer

KEYS = "meters:latest_readings:"
NEEDED = (
    "ping", "info", "time", "eval", "get", "set", "del", "unlink", "hset", "hgetall", "sadd", "smembers",
    "scan", "watch", "multi", "exec",
)  # fmt: skip
"""The commands that a pusher needs, on the keys that begin with the prefix."""


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def built(request, tmp_path_factory) -> BuiltProject:
    environment = {} if request.param == "duckdb" else request.getfixturevalue(request.param).environment
    return build_meters(tmp_path_factory.mktemp(f"meters_on_{request.param}"), request.param, environment)


@pytest.fixture(scope="module")
def server():
    """A Redis that tests may kill, fill and restart."""
    with RedisServer() as started:
        yield started


@pytest.fixture
def meters(built, server, monkeypatch):
    """No reading, no push, an empty Redis."""
    for name, value in built.environment.items():
        monkeypatch.setenv(name, value)
    with server.client() as client:
        client.flushall()
    opened = Meters(built, server.url)
    opened.reset()
    yield opened
    opened.close()


@pytest.fixture
def proxy(server):
    with Proxy(server.settings["unixsocket"]) as started:
        yield started


@pytest.fixture
def pushes(built):
    with PushServer(built) as started:
        yield started


def push(store, **options):
    (pushed,) = store.push(["latest_readings"], **options)
    assert pushed.held_back is None
    return pushed


# Ways to connect


def test_a_database_of_its_own_and_a_port_or_a_socket(meters, server):
    meters.many(10)
    for url in (f"redis://127.0.0.1:{server.port}/3", f"{server.url}?db=4"):
        store = meters.open(redis_url=url)
        push(store)
        assert differences(store, "latest_readings") == []
        assert meters.client.keys("*") == []


def test_a_key_prefix_of_its_own(meters):
    meters.many(10)
    store = meters.open(key_prefix="other:{}*")
    push(store)
    assert differences(store, "latest_readings") == []
    assert all(key.startswith(b"other:{}*:") for key in meters.client.keys("*"))
    assert push(store).written == 0


def test_a_user_with_a_password_needs_few_rights_and_one_that_lacks_them_is_told(meters, server):
    rights = [f"+{command}" for command in NEEDED]
    meters.client.execute_command("ACL", "SETUSER", "pusher", "reset", "on", ">s3cr3t:/@", "~meters:*", *rights)
    url = f"redis://pusher:s3cr3t%3A%2F%40@127.0.0.1:{server.port}/0"
    store = meters.open(redis_url=url)
    meters.many(10)
    assert push(store).written == 10
    meters.run("delete from {t} where meter = 'm1'", "update {t} set kwh = 7 where meter = 'm2'")
    assert push(store).deleted == 1
    assert push(store, full_refresh=True).written == 9
    assert meters.differences() == []
    for command in NEEDED:
        meters.client.execute_command("ACL", "SETUSER", "pusher", f"-{command}")
        with pytest.raises(OnlineStoreError, match="does not allow it to this user") as refused:
            use_everything(meters, url)
        assert "s3cr3t" not in str(refused.value)
        meters.client.execute_command("ACL", "SETUSER", "pusher", f"+{command}")
        meters.client.delete(f"{KEYS}lease")  # without DEL it stays
    with pytest.raises(OnlineStoreError, match="does not allow it to this user"):
        push(meters.open(redis_url=url, key_prefix="another"))
    with pytest.raises(OnlineStoreError, match="refused the user or the password"):
        push(meters.open(redis_url=url.replace("s3cr3t", "wr0ng")))


def use_everything(meters, url) -> None:
    """A push that sends every row and deletes one, after another user's."""
    meters.client.set(f"{KEYS}{{stranger}}", b"x")
    push(meters.open(redis_url=url), full_refresh=True)
    push(meters.open(redis_url=url))


def test_over_tls(meters, server, tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    meters.many(3000)
    with Proxy(server.settings["unixsocket"], tls=context) as proxy:
        url = f"rediss://127.0.0.1:{proxy.port}/0"
        store = meters.open(redis_url=f"{url}?ssl_ca_certs={tmp_path / 'ca.pem'}")
        push(store)
        assert meters.differences() == []
        meters.run("update {t} set kwh = kwh + 1")
        proxy.cut(SENT, 100_000)
        push(store)
        assert proxy.was_reached
        assert meters.differences() == []
        with pytest.raises(OnlineStoreError, match="cannot be reached"):  # nobody vouches for its certificate
            push(meters.open(redis_url=url))


# Refusals


def test_a_replica_is_named_as_such(meters, server):
    meters.many(10)
    with RedisServer() as replica:
        with replica.client() as client:
            client.replicaof("127.0.0.1", server.port)
        with pytest.raises(OnlineStoreError, match="is a read-only replica: push to its primary"):
            push(meters.open(redis_url=replica.url))


@pytest.mark.parametrize("lease", [0.1, 30])
def test_a_redis_that_gets_full_leaves_the_push_uncommitted_until_there_is_room(meters, lease):
    meters.many(10)
    meters.push()
    meters.many(20_000)
    client = meters.client
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 1_000_000)
    try:
        for _ in range(2):  # the second does not even get its lease
            with pytest.raises(OnlineStoreError, match="is full: raise maxmemory or remove keys"):
                push(meters.store, lease=timedelta(seconds=lease))
    finally:
        client.config_set("maxmemory", 0)
    assert mark(meters)["status"] == "sending"
    meters.push(wait=True)
    assert meters.push().written == 0


# Connections that are cut


@pytest.mark.parametrize("direction", [SENT, RECEIVED])
@pytest.mark.parametrize("size", [1, 2500])
def test_a_push_goes_on_after_its_connection_was_cut_wherever_that_was(meters, proxy, direction, size):
    meters.many(3000)
    store = meters.open(redis_url=proxy.url)
    push(store)
    changes = iter(range(1000))

    def change() -> None:
        at = next(changes)
        meters.run(
            f"update {{t}} set kwh = kwh + 1 where cast(substr(meter, 2) as integer) between {at} and {at + size}"
        )
        meters.run(f"delete from {{t}} where meter = 'm{2999 - at}'")

    change()
    proxy.counted()
    push(store)
    total = proxy.counted()[direction]
    for step in range(7):
        change()
        proxy.cut(direction, int(total * (step + 0.5) / 7))
        pushed = push(store)
        assert proxy.was_reached
        assert pushed.full is None
        assert meters.differences() == []


def test_a_redis_that_stays_away_ends_the_push_after_a_while_with_nothing_committed(meters, proxy, server):
    meters.many(3000)
    store = meters.open(redis_url=proxy.url)
    with ThreadPoolExecutor(1) as pool:
        proxy.hold(SENT, 100_000)
        going = pool.submit(push, store, lease=timedelta(seconds=1))
        proxy.wait_until_reached()
        server.kill()
        proxy.release()
        with pytest.raises(OnlineStoreError, match=r"cannot be reached; is it running\?"):
            going.result()
    server.start()
    assert meters.push(wait=True).written == 3000


def restart(server) -> None:
    server.restart()


def empty(server) -> None:
    with server.client() as client:
        client.flushall()


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        pytest.param(restart, "Redis was restarted during the push", id="restarted"),
        pytest.param(empty, "Redis was emptied during the push", id="emptied"),
    ],
)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_redis_that_lost_its_memory_during_a_push_ends_it_uncommitted(meters, proxy, server, happens, said, share):
    meters.many(3000)
    store = meters.open(redis_url=proxy.url)
    push(store)
    meters.run("update {t} set kwh = kwh + 1")
    proxy.counted()
    push(store)
    total = proxy.counted()[SENT]
    meters.run("update {t} set kwh = kwh + 1")
    with ThreadPoolExecutor(1) as pool:
        proxy.hold(SENT, int(total * share))
        going = pool.submit(push, store, lease=timedelta(seconds=2))
        proxy.wait_until_reached()
        happens(server)
        proxy.release()
        with pytest.raises(OnlineStoreError, match=f"{said}; nothing of it is committed, push again"):
            going.result()
    meters.push(wait=True)
    assert meters.push().written == 0


# Other pushers


def test_a_second_pusher_fails_at_once_and_names_the_first_or_waits(meters, proxy, pushes, server):
    meters.many(3000)
    proxy.hold(SENT, 100_000)
    process = pushes.start(proxy.url, ["latest_readings"])
    proxy.wait_until_reached()
    with pytest.raises(LeaseHeld, match=rf"process {process}, has been pushing it since 20.*Z; wait with wait=True"):
        push(meters.store)
    done = meters.project.feature_sync("push", "latest_readings", "--redis-url", server.url)
    assert (done.returncode, f"process {process}," in done.stderr) == (1, True)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(push, meters.store, wait=True)
        tries = meters.client.info("commandstats")["cmdstat_eval"]["calls"]
        while meters.client.info("commandstats")["cmdstat_eval"]["calls"] < tries + 2:
            time.sleep(0.01)
        proxy.release()
        assert pushes.wait() == "ok"
        assert waiting.result().written == 0
    assert meters.differences() == []


def test_a_pusher_waits_for_a_killed_one_no_longer_than_its_lease(meters, proxy, pushes):
    meters.many(3000)
    proxy.hold(SENT, 100_000)
    process = pushes.start(proxy.url, ["latest_readings"], lease=0.5)
    proxy.wait_until_reached()
    os.kill(process, signal.SIGKILL)
    assert pushes.wait() == "killed"
    assert meters.push(wait=True).written == 3000


@pytest.mark.parametrize("is_late", [False, True], ids=["its packets arrive before", "its packets arrive after"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_pusher_that_was_suspended_past_its_lease_writes_nothing_more(meters, proxy, pushes, share, is_late):
    meters.many(4000)
    push(meters.open(redis_url=proxy.url))
    meters.run("update {t} set kwh = 1")
    proxy.counted()
    push(meters.open(redis_url=proxy.url))
    total = proxy.counted()[SENT]
    meters.run("update {t} set kwh = 2")
    proxy.hold(SENT, int(total * share))
    process = pushes.start(proxy.url, ["latest_readings"], lease=0.5)
    proxy.wait_until_reached()
    os.kill(process, signal.SIGSTOP)
    if not is_late:
        proxy.release()
    meters.run("update {t} set kwh = 3", "delete from {t} where meter = 'm5'")
    meters.push(wait=True)
    newest = meters.client.get(f"{KEYS}push")
    proxy.release()
    os.kill(process, signal.SIGCONT)
    assert pushes.wait().startswith("LeaseLost: another push has taken over while this one was held up")
    assert meters.client.get(f"{KEYS}push") == newest
    assert meters.differences() == []
    assert meters.push().written == 0


def test_a_pusher_that_was_suspended_when_all_was_sent_does_not_commit(meters, proxy, pushes):
    meters.many(1000)
    meters.push()
    before = mark(meters)
    meters.run("update {t} set kwh = 2")
    proxy.hold_answer(b'"status":"done"')
    process = pushes.start(proxy.url, ["latest_readings"], lease=0.5)
    proxy.wait_until_reached()
    os.kill(process, signal.SIGSTOP)
    assert (mark(meters)["push"] != before["push"], mark(meters)["status"]) == (True, "done")
    meters.run("update {t} set kwh = 3", "delete from {t} where meter = 'm5'")
    meters.push(wait=True)
    proxy.release()
    os.kill(process, signal.SIGCONT)
    assert pushes.wait().startswith(
        "LeaseLost: another push has changed the state in the warehouse; nothing of this one is committed"
    )
    assert meters.differences() == []
    assert meters.push().written == 0


def mark(meters) -> dict:
    return json.loads(meters.client.get(f"{KEYS}push"))


def test_a_suspended_pusher_finds_no_fence_of_its_number_in_a_redis_that_was_emptied(meters, proxy, pushes):
    meters.many(10)
    proxy.hold_answer(b"INFO\r\n$6\r\nserver", nth=2)  # the first is asked before staging, the second before sending
    process = pushes.start(proxy.url, ["latest_readings"])
    proxy.wait_until_reached()
    os.kill(process, signal.SIGSTOP)
    meters.client.flushall()
    meters.run("update {t} set kwh = 3")
    meters.push()
    newest = mark(meters)
    proxy.release()
    os.kill(process, signal.SIGCONT)
    assert pushes.wait().startswith("LeaseLost: another push has taken over while this one was held up")
    assert mark(meters) == newest
    assert meters.differences() == []


def test_a_lease_is_not_taken_for_another_pushers_when_the_answer_was_lost(meters, proxy):
    meters.many(10)
    store = meters.open(redis_url=proxy.url)
    proxy.cut_answer(b"EVAL")
    assert push(store).written == 10
    assert proxy.was_reached


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_what_a_killed_push_had_sent_is_put_right_although_the_table_went_back(meters, proxy, pushes, share):
    meters.many(4000)
    push(meters.open(redis_url=proxy.url))
    meters.run("update {t} set kwh = kwh + 1")
    proxy.counted()
    push(meters.open(redis_url=proxy.url))
    total = proxy.counted()[SENT]
    meters.run("create table {s}.before as select * from {t}")
    meters.run("update {t} set kwh = -1", "delete from {t} where meter in ('m1', 'm2')")
    meters.read(("new", 0, 1.0))
    proxy.hold(SENT, int(total * share))
    process = pushes.start(proxy.url, ["latest_readings"], lease=0.5)
    proxy.wait_until_reached()
    os.kill(process, signal.SIGKILL)
    assert pushes.wait() == "killed"
    proxy.release()
    assert meters.differences() != []
    meters.run("delete from {t}", "insert into {t} select * from {s}.before", "drop table {s}.before")
    pushed = meters.push(wait=True)
    assert (pushed.written, pushed.full) == (4000, None)
    assert meters.push().written == 0


def test_the_first_two_pushers_of_a_project_do_not_stumble_over_each_other(meters, pushes):
    meters.many(10)
    with PushServer(meters.project) as others:
        for _ in range(5):
            meters.reset()
            meters.client.flushall()
            meters.many(10)
            pushes.start(meters.redis_url, ["latest_readings"], wait=True)
            others.start(meters.redis_url, ["hourly_readings"], wait=True, gate=False)
            assert pushes.wait() == "ok"
            assert others.wait().startswith("held back: no row answers")
            assert meters.differences() == []
