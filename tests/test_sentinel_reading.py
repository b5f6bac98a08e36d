"""Vectors from the primary that Sentinels name: found, lost and found again, and never from a replica."""

from __future__ import annotations

import pytest
import redis

from feature_sync.errors import OnlineStoreError
from feature_sync.serving.sockets import open_sockets
from tests.support.baskets import BASKETS, RIGHT, fill
from tests.support.clusters import Sentinels, free_port, until
from tests.support.readers import KINDS, Reader, reading


@pytest.fixture(scope="module")
def sentinels():
    with Sentinels() as started:
        fill(f"redis://127.0.0.1:{started.primary.port}")
        with started.primary.client() as client:
            assert client.wait(1, 10_000) == 1
        yield started


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def refusal(kind: str, url: str, *, timeout: float = 20) -> str:
    with Reader(kind, url, timeout=timeout) as reader, pytest.raises(OnlineStoreError) as refused:
        reader.warm_up()
    return str(refused.value)


def test_vectors_come_from_the_primary(sentinels, kind):
    with Reader(kind, sentinels.url) as reader:
        assert reader.get_many() == RIGHT
        assert [reader.get(**keys) for keys in BASKETS] == RIGHT
        assert reader.get_many(BASKETS * 50) == RIGHT * 50


def test_each_request_is_one_command_as_without_sentinels(sentinels):
    sockets = open_sockets(sentinels.url, timeout=20)
    assert sockets.run([("PING",)]) == [b"PONG"]
    with sentinels.primary.client() as client:
        client.config_resetstat()
        for _ in range(10):
            sockets.run([("MGET", "a", "b"), ("GET", "c")])
        counts = client.info("commandstats")
    assert (counts["cmdstat_mget"]["calls"], counts["cmdstat_get"]["calls"]) == (10, 10)
    assert "cmdstat_role" not in counts  # asked when it connects, and not again


def test_a_replica_that_a_sentinel_names_is_not_read(sentinels):
    until(sentinels.is_whole, "the set is not whole")
    replica = next(each for each in sentinels.servers if each is not sentinels.primary)
    stale = sentinels.disagree("stale", replica)
    for kind in KINDS:
        others = ",".join(f"127.0.0.1:{each.port}" for each in sentinels.sentinels)
        with Reader(kind, f"redis+sentinel://127.0.0.1:{stale.port},{others}/stale") as reader:
            assert reader.get_many() == RIGHT
        said = refusal(kind, f"redis+sentinel://127.0.0.1:{stale.port}/stale", timeout=1)
        assert f"Redis at redis://127.0.0.1:{replica.port} (announced by redis+sentinel://" in said
        assert said.endswith("is a replica, and not the primary")


def test_sentinels_that_are_down_are_passed_over(sentinels, kind):
    closed = free_port()
    with Reader(kind, sentinels.url.replace("//", f"//127.0.0.1:{closed},")) as reader:
        assert reader.get_many() == RIGHT
    said = refusal(kind, f"redis+sentinel://127.0.0.1:{closed}/features")
    assert said == f"Redis at redis://127.0.0.1:{closed} cannot be reached; is it running?"


def test_a_service_that_no_sentinel_knows_is_refused_with_those_that_it_watches(sentinels, kind):
    said = refusal(kind, sentinels.url.replace("/features", "/featurs"))
    assert "knows no service 'featurs'; did you mean 'features'?" in said


def test_what_is_no_sentinel_says_what_it_is(sentinels, kind):
    port = sentinels.primary.port
    said = refusal(kind, f"redis+sentinel://127.0.0.1:{port}/features")
    assert f"redis://127.0.0.1:{port} is not a Sentinel: name the Sentinels, whose port is usually 26379" in said


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
def test_a_sentinel_that_is_asked_as_if_it_were_a_server_says_what_it_is(sentinels, kind, scheme):
    port = sentinels.sentinels[0].port
    assert "redis+sentinel://" in refusal(kind, f"{scheme}://127.0.0.1:{port}")


def test_the_database_and_the_login_reach_the_primary(sentinels, kind):
    with redis.Redis(port=sentinels.primary.port) as client:
        client.acl_setuser(
            "reader", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@read", "+@connection"]
        )
        try:
            with Reader(kind, sentinels.url.replace("//", "//reader:secret@")) as reader:
                assert reader.get_many() == RIGHT  # it may not ask for its role, and reads all the same
            said = refusal(kind, sentinels.url.replace("//", "//reader:wrong@"))
        finally:
            client.acl_deluser("reader")
    assert "refused the user or the password" in said
    assert "Redis has no card" in refusal(kind, f"{sentinels.url}/1")


@pytest.mark.parametrize(
    "lose", [pytest.param("demote", marks=pytest.mark.slow), "kill"]
)  # last: it is not started again
def test_a_primary_that_is_replaced_costs_errors_and_never_a_wrong_vector(sentinels, lose):
    until(sentinels.is_whole, "the set is not whole")
    lost = sentinels.primary
    with reading(sentinels.url, timeout=0.5) as watch:
        until(lambda: watch.answers > 40, "the readers do not read")
        lost.kill() if lose == "kill" else sentinels.fail_over()
        until(lambda: sentinels.primary is not lost, "the Sentinels name no other primary")
        with Reader("threads", sentinels.url, timeout=30) as patient:
            assert patient.get_many() == RIGHT
        for _ in range(2):
            failures, before = len(watch.failures), watch.answers
            until(lambda least=before: watch.answers > least + 200, "the readers do not read again")
    assert len(watch.failures) == failures  # they have ended
    assert watch.wrong == []
