"""Connecting to Redis: the URL is read whole or refused, a password stays secret, and every failure says its reason."""

# ruff: noqa: RUF001 - full-width characters are what some of this is about

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import pytest
import trustme

from feature_sync.errors import OnlineStoreError, RequestError
from feature_sync.online.redis.address import read_address
from feature_sync.online.redis.server import EmbeddedServer, _free_port
from feature_sync.online.redis.store import RedisStore, read_timeout
from feature_sync.store import Options
from tests.support.orders import PREFIX, Orders
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer

SECRETS = [
    "pa/ss", "p[x", "p]x", "ｐａｓｓ／＠", "100%pure", "a%41b", "a@b", "@", "a:b", "a?b", "a#b", "1/2", "12?x=1",
    "p@ss/0",
    "a b", "\\", "é", "%", "%2", "a//b@c/1", "&=",
]  # fmt: skip


@pytest.fixture(scope="module")
def server():
    with RedisServer() as started:
        yield started


@pytest.fixture
def user(server):
    """Sets the password of a user, who is gone after the test."""
    with server.client() as client:

        def sets(password: str) -> None:
            client.acl_setuser(
                "user", enabled=True, reset=True, passwords=[f"+{password}"], keys=["*"], commands=["+@all"]
            )

        yield sets
        client.acl_deluser("user")


def failure(url: str, **options) -> OnlineStoreError:
    with pytest.raises(OnlineStoreError) as failed:
        RedisStore(url, key_prefix="p", **options)
    assert "\n" not in str(failed.value)
    return failed.value


# The password


@pytest.mark.parametrize("secret", SECRETS)
def test_a_password_of_any_characters_is_sent_as_it_is_and_never_shown(server, user, secret):
    user(secret)
    urls = [f"redis://user:{quote(secret, safe='')}@127.0.0.1:{server.port}/0"]
    urls.append(f"unix://user:{quote(secret, safe='')}@{server.settings['unixsocket']}")
    if "%41" not in secret:  # which is an A, as any URL has it
        urls += [
            f"redis://user:{secret}@127.0.0.1:{server.port}/0",
            f"unix://user:{secret}@{server.settings['unixsocket']}",
        ]
    for url in urls:
        store = RedisStore(url, key_prefix="p")
        assert store.server_state().run_id
        store.close()
        assert secret not in read_address(url).where or secret in server.settings["unixsocket"] + str(server.port)
        assert secret not in repr(read_address(url)).replace(read_address(url).where, "")
    assert "redis_url" not in repr(Options(redis_url=urls[0]))


PASSWORD = "c0rr3ct-h0rse"
BROKEN = [
    "redis://user:{}", "redis://:{}", "redis://user:{}@", "redis://user:{}@host:port", "redis://user:{}@host:99999",
    "redis://user:{}@host:0",
    "redis://user:{}@ho st", "redis://user:{}@host/db", "redis://user:{}@a..b", "redis://user:{}@[::1", "redis://{}@host#x",
    "redis://user:{}@host?foo=1", "redis://user:{}@host?db=a", "redis://user:/{}@host?foo=1", "http://user:{}@host",
    "user:{}@host", "redis://host?password={}&db=x", "redis://host?passwd={}", "rediss://host?ssl_password={}&ssl_min_version=9",
    "unix://user:{}@path", "unix://user:{}@/a?foo=1", "unix://user:{}@/\0", "redis://user:{}\ud800@host/0",
    "redis:/user:{}@h",
    "redis://user:{}@ｈｏｓｔ", "redis://user:{}@host%20", "redis://user:{}@" + "a" * 64,
]  # fmt: skip


@pytest.mark.parametrize("url", BROKEN)
def test_a_url_that_cannot_be_read_is_refused_without_a_word_of_it(url):
    for secret in (PASSWORD, "ｐ" + PASSWORD, f"/{PASSWORD}[", f"%{PASSWORD}"):
        failed = failure(url.format(secret))
        assert PASSWORD not in all_that_is_said(failed)


def test_no_failure_says_the_password_not_even_in_its_causes(server, user):
    user("another")
    closed = _free_port()
    login = f"user:{PASSWORD}%2F"
    urls = [
        f"redis://{login}@127.0.0.1:{server.port}",
        f"redis://{login}@127.0.0.1:{closed}",
        f"rediss://{login}@127.0.0.1:{server.port}",
        f"redis://{login}@no-such-host.invalid",
        f"unix://{login}@/nowhere/redis.sock",
        f"redis://127.0.0.1:{server.port}?username=user&password={PASSWORD}",
        f"rediss://{login}@127.0.0.1:{server.port}?ssl_ca_certs=/nowhere&ssl_password={PASSWORD}",
    ]
    for url in urls:
        assert PASSWORD not in all_that_is_said(failure(url, timeout=1))
    with http_server() as port:
        assert PASSWORD not in all_that_is_said(failure(f"redis://{login}@127.0.0.1:{port}"))


def all_that_is_said(failed: BaseException) -> str:
    """The traceback with all causes, and their reprs."""
    said = traceback.format_exception(failed)
    while failed is not None:
        said += [repr(failed), repr(failed.args)]
        failed = failed.__cause__ or failed.__context__
    return "".join(said)


# The options


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://h?foo=1", "the Redis URL has no option 'foo'; choose from client_name, db, "),
        ("redis://h?usrname=1", "the Redis URL has no option 'usrname'; did you mean 'username'?"),
        ("redis://h?decode_responses=true", "has no option 'decode_responses'"),
        ("redis://h?protocol=3", "has no option 'protocol'"),
        ("rediss://h?ssl_cacerts=x", "has no option 'ssl_cacerts'; did you mean 'ssl_ca_certs'?"),
        ("redis://h?ssl_ca_certs=x", "ssl_ca_certs needs TLS: use rediss://"),
        ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs must be none, optional or required"),
        ("rediss://h?ssl_check_hostname=perhaps", "ssl_check_hostname must be true or false"),
        ("rediss://h?ssl_min_version=1.0", "ssl_min_version must be 1.2 or 1.3"),
        ("rediss://h?ssl_ciphers=bogus", "ssl_ciphers names no cipher"),
        ("rediss://h?ssl_ca_certs=", "ssl_ca_certs has no value"),
        ("redis://h?db=-1", "db must be a whole number"),
        ("redis://h?db=1&db=2", "has db twice"),
        ("unix:///a?socket_keepalive=1", "has no option 'socket_keepalive'"),
        ("redis://h?db", "cannot be read; write redis://"),
        ("redis://h/0/1", "cannot be read; write redis://"),
        ("redis://h:0", "cannot be read; write redis://"),
        ("localhost:6379", "must begin with redis://"),
    ],
)
def test_an_option_that_is_unknown_or_wrong_is_named(url, reason):
    assert reason in str(failure(url))


def test_the_options_that_are_known_reach_the_client(server):
    store = RedisStore(
        f"redis://127.0.0.1:{server.port}/2?client_name=a%2Dname&health_check_interval=30&socket_keepalive=yes",
        key_prefix="here",
    )
    store.store_id()
    with server.client() as client:
        (mine,) = [each for each in client.client_list() if each["db"] == "2"]
    store.close()
    assert mine["name"] == "a-name"


@pytest.mark.parametrize("asked", ["0", "-1", "soon", "inf", "nan", "1e9", 0, -0.5, "5s"])
def test_a_timeout_that_is_not_a_number_of_seconds_is_refused(asked):
    with pytest.raises(RequestError, match=r"^redis_timeout: .* is not a number of seconds, such as 2.5"):
        read_timeout(asked)
    assert (read_timeout("0.5"), read_timeout(3), read_timeout(None), read_timeout("")) == (0.5, 3.0, 10.0, 10.0)


# Who answers


@contextmanager
def http_server() -> Iterator[int]:
    class Quiet(BaseHTTPRequestHandler):
        def log_message(self, *arguments):
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Quiet) as listening:
        Thread(target=listening.serve_forever, daemon=True).start()
        yield listening.server_port
        listening.shutdown()


@contextmanager
def answering(*answers: bytes) -> Iterator[int]:
    """A server that says these things, one after another, to whatever is sent, and then hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection, suppress(OSError):  # the client may have heard enough
                    for answer in answers:
                        connection.recv(4096)
                        connection.sendall(answer)
                    while connection.recv(4096):  # to close with bytes unread would take the answer back
                        pass

        Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def test_an_http_server_is_told_from_redis():
    with http_server() as port:
        said = str(failure(f"redis://127.0.0.1:{port}"))
    assert "the port of another service" in said  # whether its answer arrives before it closes the connection or not


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9.6\r\n", b"220 mail ESMTP\r\n", b"\x15\x03\x01\x00\x02\x02\x46\r\n", b"hello\r\n"]
)
def test_other_services_are_told_from_redis(answer):
    with answering(answer) as port:
        assert "does not speak Redis's protocol" in str(failure(f"redis://127.0.0.1:{port}"))


@pytest.mark.parametrize("answer", [b"+OK\r\n", b"$3\r\nabc\r\n", b":1\r\n"])
def test_a_server_that_answers_ping_with_something_else_is_no_redis(answer):
    with answering(answer, answer, answer) as port:
        assert "does not speak Redis's protocol" in str(failure(f"redis://127.0.0.1:{port}"))


def refusing(error: bytes) -> bytes:
    return b"-" + error + b"\r\n"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (b"DENIED Redis is running in protected mode because protected mode is enabled", "runs in protected mode"),
        (b"ERR max number of clients reached", "has as many clients as it allows: close some, or raise maxclients"),
        (b"MASTERDOWN Link with MASTER is down", "is a replica that has lost its primary: use the primary"),
        (b"BUSY Redis is busy running a script", "is busy with a script of another client: try again"),
        (b"MISCONF Redis is configured to save RDB snapshots", "accepts no writes because it cannot save to its disk"),
        (b"MOVED 3999 127.0.0.1:6381", "is a node of a Redis Cluster: begin the URL with redis+cluster://"),
        (b"ERR something new", "refused a command: something new"),
    ],
)
def test_a_refusal_says_what_to_do(error, reason):
    with answering(*[refusing(error)] * 9) as port:
        assert reason in str(failure(f"redis://127.0.0.1:{port}")).replace("ERR ", "")


def test_a_password_that_is_missing_or_wrong_is_told_apart():
    with RedisServer(requirepass="right") as guarded:
        url = f"redis://127.0.0.1:{guarded.port}"
        assert "refused a client without a password: put it into the URL, as redis://user:password@host" in str(
            failure(url)
        )
        wrong = str(failure(url.replace("//", "//:wrong@")))
        assert (
            "refused the user or the password; percent-encode special characters in the URL, such as / as %2F" in wrong
        )


def test_a_closed_port_an_unknown_host_and_a_missing_socket_are_told_apart(server, tmp_path):
    assert "cannot be reached; is it running?" in str(failure(f"redis://127.0.0.1:{_free_port()}"))
    unknown = str(failure("redis://no-such-host.invalid"))
    assert "redis://no-such-host.invalid cannot be reached: its host name is not known here (" in unknown
    assert "its socket does not exist; is it running?" in str(failure(f"unix://{tmp_path}/redis.sock"))
    (tmp_path / "file").write_text("")
    assert "cannot be reached" in str(failure(f"unix://{tmp_path}/file"))
    assert "cannot be reached" in str(failure(f"unix://{tmp_path}/{'a' * 200}"))
    assert "DB index is out of range" in str(failure(f"redis://127.0.0.1:{server.port}/9999"))


def test_a_redis_that_is_loading_says_so():
    with RedisServer() as loading, ThreadPoolExecutor(1) as pool:
        with loading.client() as client:
            client.mset({f"key {number}": f"{number}" * 300 for number in range(300)})
            client.bgrewriteaof()
            while client.info("persistence")["aof_rewrite_in_progress"]:
                time.sleep(0.05)
        loading.kill()
        loading.settings |= {"key-load-delay": "10000", "loading-process-events-interval-bytes": "1024"}
        loaded = pool.submit(loading.start)
        said = ""
        while "is it running?" in said or not said:
            said = str(failure(loading.url))
        assert said.endswith("is still loading its data; try again when it has")
        loaded.result()


def test_a_node_of_a_cluster_says_so():
    cluster = {"cluster-enabled": "yes", "cluster-require-full-coverage": "no", "cluster-port": str(_free_port())}
    with RedisServer(**cluster) as one, one.client() as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "100")
        store = RedisStore(f"redis://127.0.0.1:{one.port}", key_prefix="p")
        with pytest.raises(OnlineStoreError, match="is a node of a Redis Cluster: begin the URL with redis.cluster:"):
            store.view("a").read([b"a:{1}", b"a:{2}"])
        store.close()


# TLS


@contextmanager
def tls_proxy(server, certificate) -> Iterator[Proxy]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with Proxy(server.settings["unixsocket"], tls=context) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    made = trustme.CA()
    made.cert_pem.write_to_path(folder / "ca.pem")
    client = made.issue_cert("client@example.com")
    client.cert_chain_pems[0].write_to_path(folder / "client.pem")
    client.private_key_pem.write_to_path(folder / "client.key")
    other = trustme.CA()
    other.cert_pem.write_to_path(folder / "other.pem")
    stranger = other.issue_cert("client@example.com")
    stranger.cert_chain_pems[0].write_to_path(folder / "stranger.pem")
    stranger.private_key_pem.write_to_path(folder / "stranger.key")
    (folder / "junk.pem").write_text("no certificate")
    return made, folder


def reason(proxy: Proxy, folder: Path, **options) -> str:
    """What is said of a connection over TLS; nothing if there is one."""
    query = "&".join(
        f"{name}={folder / value if 'ssl_c' in name or 'key' in name else value}" for name, value in options.items()
    )
    try:
        RedisStore(f"rediss://127.0.0.1:{proxy.port}/0?{query}", key_prefix="p", timeout=3).close()
    except OnlineStoreError as failed:
        said = str(failed)
    else:
        return ""
    assert said.startswith(f"Redis at rediss://127.0.0.1:{proxy.port}/0 cannot be reached: ")
    return said.partition("cannot be reached: ")[2]


def test_the_reasons_of_tls_are_told_apart(server, authority):
    made, folder = authority
    known = {"ssl_ca_certs": "ca.pem"}
    with tls_proxy(server, made.issue_cert("127.0.0.1")) as proxy:
        assert reason(proxy, folder, **known) == ""
        unknown = (
            "its certificate is signed by an unknown authority: name the file of its CA with ssl_ca_certs in the URL, "
            "or FEATURE_SYNC_REDIS_SSL_CA_CERTS"
        )
        assert reason(proxy, folder) == unknown
        assert reason(proxy, folder, ssl_ca_certs="other.pem") == unknown
        missing = f"{folder / 'nowhere.pem'}, which ssl_ca_certs of the URL names, does not exist"
        assert reason(proxy, folder, ssl_ca_certs="nowhere.pem") == missing
        assert reason(proxy, folder, ssl_ca_certs="junk.pem").startswith("TLS failed (")
        damaged = reason(proxy, folder, **known, ssl_certfile="client.pem", ssl_keyfile="stranger.key")
        assert damaged.startswith("TLS failed (")
        assert "check the files that ssl_certfile, ssl_keyfile and ssl_ca_certs name" in damaged
        plain = str(failure(f"redis://127.0.0.1:{proxy.port}", timeout=2))
        assert "cannot be reached" in plain or "does not speak" in plain
    with tls_proxy(server, made.issue_cert("localhost", "10.0.0.1")) as proxy:
        other_host = (
            "its certificate is for another host: write the host as the certificate does, or ssl_check_hostname=false"
        )
        assert reason(proxy, folder, **known) == other_host
        store = RedisStore(
            f"rediss://127.0.0.1:{proxy.port}?ssl_ca_certs={folder / 'ca.pem'}&ssl_check_hostname=false",
            key_prefix="p",
        )
        store.close()
    ended = datetime.now(UTC) - timedelta(days=1)
    with tls_proxy(server, made.issue_cert("127.0.0.1", not_after=ended)) as proxy:
        assert reason(proxy, folder, **known) == "its certificate has expired: renew it"
    begun = datetime.now(UTC) + timedelta(days=1)
    with tls_proxy(server, made.issue_cert("127.0.0.1", not_before=begun)) as proxy:
        assert reason(proxy, folder, **known) == "its certificate is not valid yet: compare the clocks"
    with Proxy(server.settings["unixsocket"]) as plain:
        said = str(failure(f"rediss://127.0.0.1:{plain.port}", timeout=0.5))
        assert said.endswith("if it does not speak TLS, the URL begins with redis://")  # Redis waits for more
    with answering(b"-ERR no TLS\r\n") as port:
        assert "it does not speak TLS at that port: use redis://" in str(failure(f"rediss://127.0.0.1:{port}"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_that_is_missing_or_unknown_is_told(server, authority, version):
    made, folder = authority
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.issue_cert("127.0.0.1").configure_cert(context)
    made.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = context.minimum_version = version
    with Proxy(server.settings["unixsocket"], tls=context) as proxy:
        known = {"ssl_ca_certs": "ca.pem"}
        assert "client's certificate" in reason(proxy, folder, **known)
        assert "ssl_certfile and ssl_keyfile" in reason(proxy, folder, **known)
        assert reason(proxy, folder, **known, ssl_certfile="client.pem", ssl_keyfile="client.key") == ""
        stranger = reason(proxy, folder, **known, ssl_certfile="stranger.pem", ssl_keyfile="stranger.key")
        assert "accept" in stranger
        assert "ssl_certfile" in stranger


# Who does not answer


@contextmanager
def suspended(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_redis_that_accepts_and_never_answers_ends_every_request_in_time():
    with RedisServer() as silent:
        orders = Orders(silent.url)
        orders.open(f"redis://127.0.0.1:{silent.port}", timeout=0.5)
        orders.push()
        orders.read({"k0": 1})
        with suspended(silent.pid):
            for ask in (lambda: RedisStore(silent.url, key_prefix="shop", timeout=0.5), lambda: orders.read({"k0": 1})):
                began = time.monotonic()
                with pytest.raises(
                    OnlineStoreError, match=r"did not answer in time \(0.5 s\); raise it with redis_timeout="
                ):
                    ask()
                assert time.monotonic() - began < 5  # a bound of sanity: without it this took four minutes
        orders.read({"k0": 1})
        orders.close()


def test_the_embedded_redis_that_never_answers_is_not_started_twice(tmp_path):
    folder = Path(tmp_path)
    server = EmbeddedServer(folder, timeout=0.5)
    server.start()
    pid = server.pid
    try:
        with (
            suspended(pid),
            pytest.raises(OnlineStoreError, match=r"did not answer in time \(0.5 s\); is it suspended"),
        ):
            server.start()
        assert server.pid == pid
    finally:
        server.stop()


# Rights

READER = ("ping", "mget", "hgetall", "hmget")


def test_a_reader_needs_few_rights_and_one_that_lacks_them_is_told(server):
    orders = Orders(server.url)
    orders.push()
    with server.client() as client:
        rights = [f"+{command}" for command in READER]
        client.execute_command("ACL", "SETUSER", "reader", "reset", "on", ">secret", f"%R~{PREFIX}:*", *rights)
    url = f"redis://reader:secret@127.0.0.1:{server.port}"

    def read() -> None:
        orders.disconnect()
        orders.open(url)
        orders.read({"k0": 1})

    try:
        read()
        orders.client.set("shop:orders:{1}", b"\x92\xc4\x04none\xc0")
        with pytest.raises(OnlineStoreError, match="no schema 6e6f6e65"):
            read()
        orders.push()
        for command in READER:
            orders.client.execute_command("ACL", "SETUSER", "reader", f"-{command}")
            if command in ("ping", "hmget"):  # only to explain what is missing, and after changes of a definition
                read()
            else:
                with pytest.raises(
                    OnlineStoreError, match=r"does not allow it to this user: .*give it \+.*feature-sync acl prints"
                ):
                    read()
            orders.client.execute_command("ACL", "SETUSER", "reader", f"+{command}")
        read()
        orders.client.delete("shop:orders:schema")
        with pytest.raises(OnlineStoreError, match=r"no schema of orders .*push first .*, or name another prefix"):
            read()
    finally:
        orders.client.acl_deluser("reader")
        orders.client.flushall()
        orders.close()


def test_the_page_names_the_rights_that_a_reader_needs():
    page = (Path(__file__).parents[1] / "docs" / "pushing.md").read_text()
    assert all(f"+{command}" in page for command in READER)
    (line,) = re.findall(r"ACL SETUSER reader .*", page)
    assert set(re.findall(r"\+(\w+)", line)) == {*READER}
