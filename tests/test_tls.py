"""TLS to PostgreSQL, and the environment variables of TLS to Redis: real handshakes, and what failures say."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from feature_sync import AsyncFeatureClient, FeatureClient
from feature_sync.errors import OnlineStoreError, WarehouseError
from feature_sync.online.redis.store import RedisStore
from feature_sync.warehouses import open_warehouse
from tests.support.http_server import HttpServer
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.shop import Shop, fill

VARIABLE = "FEATURE_SYNC_REDIS_"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """An authority of the house's own, a client's certificate, and those of a stranger; files and makers."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ca", "other"):
        made = trustme.CA()
        made.cert_pem.write_to_path(folder / f"{name}.pem")
        client = made.issue_cert("client@example.com")
        client.cert_chain_pems[0].write_to_path(folder / f"client of {name}.pem")
        key = folder / f"client of {name}.key"
        client.private_key_pem.write_to_path(key)
        key.chmod(0o600)
        if name == "ca":
            house = made
    return house, folder


@contextmanager
def before(socket_path: str, certificate, *, clients: trustme.CA | None = None, of_postgres: bool = False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if clients is not None:
        clients.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    with Proxy(socket_path, tls=context, of_postgres=of_postgres) as proxy:
        yield proxy


# PostgreSQL


@pytest.fixture
def said(postgres):
    """What a connection with some settings says: the row that it reads, or why it failed."""
    at = postgres.environment

    @contextmanager
    def through(certificate, **options):
        with before(f"{at['PGHOST']}/.s.PGSQL.{at['PGPORT']}", certificate, of_postgres=True, **options) as proxy:

            def connect(host: str = "127.0.0.1", **settings) -> str:
                settings = {**postgres.target.settings, "host": host, "port": proxy.port, **settings}
                try:
                    with open_warehouse(replace(postgres.target, settings=settings)) as warehouse:
                        return str(warehouse.fetch("select 1")[0][0])
                except WarehouseError as refused:
                    return str(refused)

            yield connect

    return through


def test_a_private_authority_a_wrong_host_and_expiry_are_told_apart_on_postgres(said, authority, monkeypatch):
    house, folder = authority
    trusting = {"sslmode": "verify-full", "sslrootcert": str(folder / "ca.pem")}
    with said(house.issue_cert("127.0.0.1")) as connect:
        assert connect(**trusting) == "1"
        assert connect(sslmode="require") == "1"
        wrong = connect(sslmode="verify-full", sslrootcert=str(folder / "other.pem"))
        assert wrong.endswith("unknown authority: name the file of its CA with sslrootcert (PGSSLROOTCERT)")
        assert "sslrootcert" in connect(sslmode="verify-full", sslrootcert=str(folder / "nowhere.pem"))
        monkeypatch.setenv("PGSSLROOTCERT", str(folder / "ca.pem"))
        monkeypatch.setenv("PGSSLMODE", "verify-full")
        assert connect() == "1"
    with said(house.issue_cert("db.example.com")) as connect:
        assert "for another host: write the host as the certificate does" in connect(**trusting)
        assert connect(**{**trusting, "sslmode": "verify-ca"}) == "1"
    day = timedelta(days=1)
    with said(house.issue_cert("127.0.0.1", not_after=datetime.now(UTC) - day)) as connect:
        assert connect(**trusting).endswith("its certificate has expired: renew it")
    with said(house.issue_cert("127.0.0.1", not_before=datetime.now(UTC) + day)) as connect:
        assert connect(**trusting).endswith("not valid yet: compare the clocks")


def test_a_clients_certificate_on_postgres(said, authority):
    house, folder = authority
    trusting = {"sslmode": "verify-full", "sslrootcert": str(folder / "ca.pem")}

    def own(name: str) -> dict[str, str]:
        return {"sslcert": str(folder / f"client of {name}.pem"), "sslkey": str(folder / f"client of {name}.key")}

    with said(house.issue_cert("127.0.0.1"), clients=house) as connect:
        assert connect(**trusting, **own("ca")) == "1"
        assert "sslcert and sslkey (PGSSLCERT, PGSSLKEY)" in connect(**trusting)
        assert "sslcert and sslkey" in connect(**trusting, **own("other"))
        mixed = {**own("ca"), "sslkey": own("other")["sslkey"]}
        assert "sslcert and sslkey" in connect(**trusting, **mixed)


def test_a_postgres_without_tls_is_told(postgres):
    at = postgres.environment
    with Proxy(f"{at['PGHOST']}/.s.PGSQL.{at['PGPORT']}") as proxy:
        settings = {**postgres.target.settings, "host": "127.0.0.1", "port": proxy.port, "sslmode": "require"}
        with pytest.raises(WarehouseError, match="does not speak TLS there: sslmode: disable"):
            open_warehouse(replace(postgres.target, settings=settings))


# Redis: its options in the URL are tested where its clients are, here those of the environment


@pytest.fixture(scope="module")
def server():
    with RedisServer(requirepass="p%ss/wörd") as started:
        shop = Shop(f"unix://:p%25ss%2Fw%C3%B6rd@{started.settings['unixsocket']}")
        fill(shop)
        shop.close()
        yield started


def test_each_connection_to_redis_takes_certificates_and_password_from_the_environment(
    server, authority, tmp_path, monkeypatch
):
    house, folder = authority
    environment = {
        "PASSWORD": "p%ss/wörd",
        "SSL_CA_CERTS": str(folder / "ca.pem"),
        "SSL_CERTFILE": str(folder / "client of ca.pem"),
        "SSL_KEYFILE": str(folder / "client of ca.key"),
    }
    with ExitStack() as opened:
        proxy = opened.enter_context(
            before(server.settings["unixsocket"], house.issue_cert("127.0.0.1"), clients=house)
        )
        url = f"rediss://127.0.0.1:{proxy.port}"
        for name, value in environment.items():
            monkeypatch.setenv(VARIABLE + name, value)
        assert all(each == "gold" for each in everyone(url, tmp_path))
        for name, cure in [
            ("PASSWORD", "FEATURE_SYNC_REDIS_PASSWORD"),
            ("SSL_CA_CERTS", "FEATURE_SYNC_REDIS_SSL_CA_CERTS"),
            ("SSL_CERTFILE", "ssl_certfile and ssl_keyfile"),
        ]:
            with monkeypatch.context() as without:
                without.delenv(VARIABLE + name)
                if name == "SSL_CERTFILE":
                    without.delenv(f"{VARIABLE}SSL_KEYFILE")
                for failure in everyone(url, tmp_path):
                    assert cure in failure, failure
        with monkeypatch.context() as wrong:
            wrong.setenv(f"{VARIABLE}SSL_CHECK_HOSTNAME", "maybe")
            with pytest.raises(OnlineStoreError, match="FEATURE_SYNC_REDIS_SSL_CHECK_HOSTNAME must be true or false"):
                RedisStore(url, key_prefix="shop")


def everyone(url: str, folder: Path) -> list[str]:
    """What the pusher, both clients and the server over HTTP read, or why they cannot."""

    def pusher() -> str:
        store = RedisStore(url, key_prefix="shop", timeout=5)
        try:
            return "gold" if store.services() == {"fraud", "tiers"} else ""
        finally:
            store.close()

    def client() -> str:
        with FeatureClient(url, "tiers", prefix="shop", timeout=5) as opened:
            return opened.get("c1")["tier"]

    async def read() -> str:
        async with AsyncFeatureClient(url, "tiers", prefix="shop", timeout=5) as opened:
            return (await opened.get("c1"))["tier"]

    def served() -> str:
        with HttpServer(folder, url) as started:
            answer = started.ask("tiers", customer=["c1"])
            if answer.status_code != 200:
                return answer.json()["detail"]
            return answer.json()["results"][answer.json()["metadata"]["feature_names"].index("tier")]["values"][0]

    found = []
    for reads in (pusher, client, lambda: asyncio.run(read()), served):
        try:
            found.append(reads())
        except OnlineStoreError as failed:
            found.append(str(failed))
    return found


def test_the_url_wins_and_a_socket_takes_nothing_from_the_environment(server, monkeypatch):
    monkeypatch.setenv(f"{VARIABLE}PASSWORD", "of the environment")
    monkeypatch.setenv(f"{VARIABLE}USERNAME", "nobody")
    for url in (
        f"redis://:p%25ss%2Fw%C3%B6rd@127.0.0.1:{server.port}",
        f"redis://127.0.0.1:{server.port}?username=default&password=p%25ss/w%C3%B6rd",
        f"unix://:p%25ss%2Fw%C3%B6rd@{server.settings['unixsocket']}",
    ):
        RedisStore(url, key_prefix="shop").close()
    monkeypatch.setenv(f"{VARIABLE}PASSWORD", "p%ss/wörd")
    RedisStore(f"redis://default@127.0.0.1:{server.port}", key_prefix="shop").close()
    with pytest.raises(OnlineStoreError, match="refused the user or the password"):
        RedisStore(f"redis://127.0.0.1:{server.port}", key_prefix="shop")
