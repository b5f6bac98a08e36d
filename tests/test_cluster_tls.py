"""Pushes to a Redis Cluster over TLS: each node is reached over TLS, and what failures say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import trustme

from feature_sync.errors import OnlineStoreError
from feature_sync.online.redis.opening import open_online_store
from tests.support.baskets import RIGHT, fill
from tests.support.clusters import TlsCluster
from tests.support.meters import Meters, build_meters
from tests.support.readers import KINDS, Reader
from tests.support.redis_server import RedisServer

VIEW = "latest_readings"
HOSTS = "localhost", "127.0.0.1"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory):
    """Where the certificates of the house's authority are, and of another."""
    folder = tmp_path_factory.mktemp("certificates")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other.pem")
    return folder


@pytest.fixture(scope="module")
def cluster(authority):
    with TlsCluster(authority.issue_cert(*HOSTS)) as started:
        yield started


def refusal(url: str) -> str:
    with pytest.raises(OnlineStoreError) as refused:
        open_online_store(url, key_prefix="meters", timeout=10)
    return str(refused.value)


def test_pushes_and_who_checks_them_reach_every_node_over_tls(cluster, files, tmp_path):
    url = f"{cluster.url}?ssl_ca_certs={files}/ca.pem"
    meters = Meters(build_meters(tmp_path / "meters", "duckdb", {}), url)
    meters.reset()
    meters.many(500)
    (pushed,) = meters.store.push([VIEW])
    assert (pushed.written, pushed.failed) == (500, None)
    assert all(cluster.run(each, "DBSIZE") > 100 for each in cluster.primaries)
    meters.read(("m1", 10, 1.5))
    (pushed,) = meters.store.push([VIEW])
    assert (pushed.written, pushed.full) == (1, None)
    (verified,) = meters.store.verify([VIEW])
    assert (verified.is_equal, verified.matching) == (True, 500)
    (status,) = meters.store.status([VIEW])
    assert (status.rows, len(status.nodes)) == (500, 3)
    meters.close()
    done = meters.project.feature_sync("push", VIEW, "--redis-url", cluster.url)
    assert done.returncode == 1
    assert "its certificate is signed by an unknown authority" in done.stderr
    done = meters.project.feature_sync(
        "push", VIEW, "--redis-url", cluster.url, FEATURE_SYNC_REDIS_SSL_CA_CERTS=f"{files}/ca.pem"
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_read_from_every_node_over_tls(cluster, files, kind):
    with RedisServer() as standalone:
        fill(standalone.url)
        cluster.copy(standalone.url)
    with Reader(kind, f"{cluster.url}?ssl_ca_certs={files}/ca.pem") as reader:
        assert reader.get_many() == RIGHT
    with (
        Reader(kind, f"{cluster.url}?ssl_ca_certs={files}/other.pem") as reader,
        pytest.raises(OnlineStoreError, match="its certificate is signed by an unknown authority"),
    ):
        reader.get_many()


def test_wrong_certificates_of_a_cluster_are_told_apart(cluster, authority, files):
    known, day = f"ssl_ca_certs={files}/ca.pem", timedelta(days=1)
    assert "is signed by an unknown authority" in refusal(f"{cluster.url}?ssl_ca_certs={files}/other.pem")
    assert "which ssl_ca_certs of the URL names, does not exist" in refusal(f"{cluster.url}?ssl_ca_certs=/no/where")
    plain = refusal(cluster.url.replace("rediss", "redis"))
    assert "cannot be reached; is it running? It closed the connection, as the port of another service may do" in plain
    try:
        cluster.present(authority.issue_cert("redis.example.com"))
        assert "its certificate is for another host" in refusal(f"{cluster.url}?{known}")
        open_online_store(f"{cluster.url}?{known}&ssl_check_hostname=false", key_prefix="meters", timeout=10).close()
        cluster.present(authority.issue_cert(*HOSTS, not_after=datetime.now(UTC) - day))
        assert "its certificate has expired: renew it" in refusal(f"{cluster.url}?{known}")
        cluster.present(authority.issue_cert(*HOSTS, not_before=datetime.now(UTC) + day))
        assert "is not valid yet: compare the clocks" in refusal(f"{cluster.url}?{known}")
    finally:
        cluster.present(authority.issue_cert(*HOSTS))


@pytest.mark.slow  # it takes the time-out
def test_a_node_without_tls_is_told(cluster, files):
    bare = f"rediss+cluster://127.0.0.1:{cluster.primaries[0].port}?ssl_ca_certs={files}/ca.pem"
    assert "does not speak TLS" in refusal(bare)
