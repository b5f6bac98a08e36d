"""Pushes to the primary that Sentinels name."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta

import pytest

from feature_sync.errors import OnlineStoreError
from feature_sync.online.redis.opening import open_online_store
from tests.support.clusters import Sentinels, until
from tests.test_sentinel_crashes import FailingSentinels

PREFIX, VIEW = "meters", "latest_readings"
HOLD = {"duration": timedelta(seconds=30), "wait": False, "stopped": lambda: False}
KEYS = [f"{PREFIX}:{VIEW}:{{m{number}}}".encode() for number in range(100)]


@pytest.fixture(scope="module")
def sentinels():
    with Sentinels() as started:
        yield started


def open_store(url: str):
    return open_online_store(url, key_prefix=PREFIX, timeout=10)


def test_a_push_whose_primary_has_failed_over_ends_and_the_next_goes_to_the_new_one(sentinels):
    store = open_store(sentinels.url)
    view, first = store.view(VIEW), sentinels.primary
    with view.hold(**HOLD) as writer:
        writer.write([[(key, b"first", None) for key in KEYS]])
        sentinels.fail_over()
        until(lambda: sentinels.primary is not first, "no failover")
        until(sentinels.is_whole, "the old primary does not follow the new one")
        with pytest.raises(OnlineStoreError, match="Redis has failed over") as refused:
            writer.write([[(key, b"second", None) for key in KEYS]])
        assert f"the Sentinels name 127.0.0.1:{sentinels.primary.port})" in str(refused.value)
    with view.hold(**HOLD) as writer:
        writer.write([[(key, b"third", None) for key in KEYS]])
        with sentinels.primary.client() as client:
            assert client.mget(KEYS) == [b"third"] * len(KEYS)
    store.close()


@pytest.mark.slow
def test_a_primary_that_was_replaced_and_is_back_is_not_the_one_that_it_was():
    with FailingSentinels() as sentinels, closing(open_store(sentinels.url)) as store:
        first, view = sentinels.primary, store.view(VIEW)
        with view.hold(**HOLD) as writer:
            writer.write([[(key, b"first", None) for key in KEYS]])
            sentinels.swap()
            sentinels.swap()
            assert sentinels.primary is first
            with pytest.raises(OnlineStoreError, match="Redis has failed over"):
                writer.write([[(key, b"second", None) for key in KEYS]])


def test_a_server_that_is_no_sentinel_and_a_service_that_none_knows_are_named(sentinels):
    nodes = sentinels.url.removesuffix("/features")
    with pytest.raises(OnlineStoreError, match="knows no service 'feature'; did you mean 'features'"):
        open_store(f"{nodes}/feature")
    with pytest.raises(OnlineStoreError, match="is not a Sentinel: name the Sentinels"):
        open_store(f"redis+sentinel://127.0.0.1:{sentinels.primary.port}/features")
