"""URLs of clusters and Sentinels, and what nodes say about one another, read into values."""

from __future__ import annotations

import pytest

from feature_sync.errors import OnlineStoreError
from feature_sync.online.redis.address import read_address
from feature_sync.online.topology import Node, Redirection, read_redirection, read_topology

HERE = Node("10.0.0.9", 7000)


@pytest.mark.parametrize(
    ("url", "nodes", "service", "database", "where"),
    [
        ("redis+cluster://a", [("a", 6379)], "", 0, "redis+cluster://a"),
        ("redis+cluster://a:1,b:2,a:1/", [("a", 1), ("b", 2)], "", 0, "redis+cluster://a:1,b:2,a:1"),
        ("rediss+cluster://user:pa%2Fss@a:1,[::1]:2/0", [("a", 1), ("::1", 2)], "", 0, "rediss+cluster://a:1,[::1]:2"),
        ("redis+sentinel://a,b:2/mymaster", [("a", 26379), ("b", 2)], "mymaster", 0, "redis+sentinel://a,b:2/mymaster"),
        ("redis+sentinel://a/my.one/3", [("a", 26379)], "my.one", 3, "redis+sentinel://a/my.one/3"),
        ("redis+sentinel://[fe80::1]/m?db=4", [("fe80::1", 26379)], "m", 4, "redis+sentinel://[fe80::1]/m"),
        ("rediss+sentinel://:p@ss@a:1/m/", [("a", 1)], "m", 0, "rediss+sentinel://a:1/m"),
    ],
)
def test_a_url_names_nodes_of_a_cluster_or_sentinels(url, nodes, service, database, where):
    address = read_address(url)
    assert [tuple(each) for each in address.nodes] == nodes
    assert (address.service, address.options["db"], address.where) == (service, database, where)
    assert (address.is_cluster, address.is_sentinel) == ("+cluster" in url, "+sentinel" in url)


def test_each_node_has_the_login_of_the_url_and_each_sentinel_its_own(monkeypatch):
    monkeypatch.delenv("FEATURE_SYNC_REDIS_PASSWORD", raising=False)
    address = read_address("rediss+sentinel://me:mine@a/m/2?sentinel_password=theirs&ssl_cert_reqs=none")
    assert address.at(Node("x", 1)).options == {
        "host": "x", "port": 1, "db": 2, "username": b"me", "password": b"mine", "ssl_cert_reqs": "none",
    }  # fmt: skip
    assert address.sentinel(Node("y", 2)).options == {
        "host": "y", "port": 2, "db": 0, "password": "theirs", "ssl_cert_reqs": "none",
    }  # fmt: skip
    assert address.at(Node("::1", 1)).where == "rediss://[::1]:1"
    monkeypatch.setenv("FEATURE_SYNC_REDIS_PASSWORD", "one")
    monkeypatch.setenv("FEATURE_SYNC_REDIS_SENTINEL_PASSWORD", "two")
    address = read_address("redis+sentinel://a/m")
    assert (address.options["password"], address.sentinel_options["password"]) == (b"one", b"two")
    assert "sentinel_password" not in read_address("redis+cluster://a").options


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis+cluster://a/1", "a cluster has no database but 0"),
        ("redis+cluster://a?db=2", "a cluster has no database but 0"),
        ("redis+cluster://", "cannot be read; write redis+cluster://"),
        ("redis+cluster://a,,b", "cannot be read; write redis+cluster://"),
        ("redis+cluster://a:0", "cannot be read; write redis+cluster://"),
        ("redis+cluster://a:1;b:2", "cannot be read; write redis+cluster://"),
        ("redis+cluster://a:1/0,b:2/0", "cannot be read; write redis+cluster://"),
        ("redis+cluster:///run/redis.sock", "cannot be read; write redis+cluster://"),
        ("redis://a:1,b:2", "cannot be read; write redis://"),
        ("redis+cluster://a?sentinel_password=x", "sentinel_password is for Sentinels: use redis+sentinel://"),
        ("redis+cluster://a?ssl_ca_certs=x", "ssl_ca_certs needs TLS: use rediss+cluster://"),
        ("redis+sentinel://a?ssl_ca_certs=x", "names no service: write redis+sentinel://host:port/service"),
        ("redis+sentinel://a,b", "names no service: write redis+sentinel://host:port/service"),
        ("redis+sentinel://a/my master", "cannot be read; write redis+sentinel://"),
        ("redis+sentinel://a/m/x", "cannot be read; write redis+sentinel://"),
        ("redis+sentinel://a/m?sentinel_pasword=x", "did you mean 'sentinel_password'?"),
        ("redis-cluster://a", "must begin with redis://, rediss:// or unix://, with redis+cluster://"),
        ("sentinel://a/m", "or with redis+sentinel:// or rediss+sentinel://"),
        ("unix+cluster:///a", "must begin with redis://"),
    ],
)
def test_a_url_that_is_wrong_says_what_would_be_right(url, reason):
    with pytest.raises(OnlineStoreError) as failed:
        read_address(url)
    assert reason in str(failed.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://user:{}", "redis+cluster://user:{}@", "redis+cluster://user:{}@a,b:99999",
        "redis+cluster://user:{}@a/9", "redis+cluster://user:{}@a,,b", "redis+sentinel://user:{}@a",
        "redis+sentinel://user:{}@a/m n", "redis+sentinel://a/m?sentinel_password={}&db=x",
        "redis+cluster://user:{}\ud800@a", "redis+sentinel://a/m?sentinel_pass={}",
    ],
)  # fmt: skip
def test_no_message_quotes_a_secret_of_the_url(url):
    for secret in ("c0rr3ct-h0rse", "/c0rr3ct-h0rse[", "%c0rr3ct-h0rse", "c0rr3ct-h0rse@["):
        with pytest.raises(OnlineStoreError) as failed:
            read_address(url.format(secret))
        assert "c0rr3ct" not in f"{failed.value}{failed.value.__cause__!r}{failed.value.__context__!r}"


def test_the_topology_tells_the_node_of_each_slot_and_its_replicas():
    reply = [
        [0, 99, [b"10.0.0.1", 7000, b"id"], [b"10.0.0.2", 7001, b"id", [b"hostname", b"h"]], [b"?", 7002, b"id"]],
        [100, 16382, [b"", 7003, b"id", []], [None, 7004, b"id"]],
    ]
    topology = read_topology(reply, HERE)
    one, other = Node("10.0.0.1", 7000), Node("10.0.0.9", 7003)
    assert topology.primaries == (one, other)
    assert topology.nodes == (one, other, Node("10.0.0.2", 7001), Node("10.0.0.9", 7004))
    assert [topology.owners[slot] for slot in (0, 99, 100, 16382, 16383)] == [one, one, other, other, None]
    assert (topology.unserved, len(topology.slots_of(one)), topology.slots_of(HERE)) == (1, 100, [])
    moved = topology.with_moved([Redirection(True, 16383, HERE), Redirection(True, 0, other)])
    assert (moved.owners[16383], moved.owners[0], moved.owners[1], moved.unserved) == (HERE, other, one, 0)


@pytest.mark.parametrize("reply", [None, 1, [1], [[0, 1]], [[0, 16384, [b"h", 1, b"id"]]], [[5, 2, [b"h", 1]]],
                                   [[0, 1, [b"h", b"x"]]], [[0, 1, [b"h"]]], [["a", 1, [b"h", 1]]]])  # fmt: skip
def test_a_reply_of_another_form_is_refused(reply):
    with pytest.raises(OnlineStoreError, match=r"10\.0\.0\.9:7000 answers to CLUSTER SLOTS cannot be read"):
        read_topology(reply, HERE)


@pytest.mark.parametrize(
    ("message", "redirection"),
    [
        ("MOVED 3999 127.0.0.1:6381", Redirection(True, 3999, Node("127.0.0.1", 6381))),
        ("ASK 0 node.example:1", Redirection(False, 0, Node("node.example", 1))),
        ("MOVED 1 :6381", Redirection(True, 1, Node("10.0.0.9", 6381))),
        ("MOVED 1 2001:db8::1:6381", Redirection(True, 1, Node("2001:db8::1", 6381))),
        ("MOVED 1 ?:6381", None),
        ("MOVED 16384 h:1", None),
        ("MOVED", None),
        ("MOVED 1 h", None),
        ("MOVED x h:1", None),
        ("ERR MOVED 1 h:1", None),
        ("TRYAGAIN Multiple keys request during rehashing of slot", None),
    ],
)
def test_a_redirection_names_the_node_to_ask(message, redirection):
    assert read_redirection(message, HERE) == redirection
