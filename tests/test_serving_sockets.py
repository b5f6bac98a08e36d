"""The sockets of serving clients: every reply is the right one, and every failure comes in time and says its reason."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import pickle
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any

import pytest
import trustme

from feature_sync.errors import OnlineStoreError
from feature_sync.online.redis.server import _free_port
from feature_sync.serving.async_socket import AsyncRedisSocket
from feature_sync.serving.sockets import RedisSockets
from tests.support.proxy import RECEIVED, Proxy
from tests.support.redis_server import RedisServer

KEYS = 2_000


@pytest.fixture(scope="module")
def server():
    """Holds `value N` under `key N`."""
    with RedisServer() as started, started.client() as client:
        client.mset({f"key {number}": f"value {number}" for number in range(KEYS)})
        yield started


def tcp(server: RedisServer, login: str = "") -> str:
    return f"redis://{login}127.0.0.1:{server.port}"


def mget(*numbers: int) -> tuple[str, ...]:
    return ("MGET", *(f"key {number}" for number in numbers))


def values(*numbers: int) -> list[bytes]:
    return [f"value {number}".encode() for number in numbers]


def run_in_threads(url: str, *requests: Sequence[Any], timeout: float = 3, **options) -> list[Any]:
    pool = RedisSockets(url, timeout=timeout, **options)
    try:
        return [pool.run(request) for request in requests]
    finally:
        pool.close()


def run_in_asyncio(url: str, *requests: Sequence[Any], timeout: float = 3, **options) -> list[Any]:
    async def run() -> list[Any]:
        client = AsyncRedisSocket(url, timeout=timeout, **options)
        try:
            return [await client.run(request) for request in requests]
        finally:
            await client.close()

    return asyncio.run(run())


Run = Callable[..., list[Any]]


@pytest.fixture(params=[run_in_threads, run_in_asyncio], ids=["sockets", "asyncio"])
def run(request) -> Run:
    """Runs requests one after another over a client that is closed afterwards."""
    return request.param


def failure(run: Run, url: str, *requests: Sequence[Any], **options) -> str:
    with pytest.raises(OnlineStoreError) as failed:
        run(url, *requests or [[("PING",)]], **options)
    assert "\n" not in str(failed.value)
    return str(failed.value)


# Starting


def test_a_client_starts_without_redis_py_and_what_it_does_not_use():
    script = (
        "import sys; from feature_sync.serving.sockets import RedisSockets; RedisSockets('redis://h', timeout=1)\n"
        "print([name for name in ('redis', 'asyncio', 'ssl') if name in sys.modules])\n"
        "import feature_sync.serving.async_socket\n"
        "print('redis' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert printed == "[]\nFalse\n"


def test_a_wrong_url_is_an_error_at_once():
    for client in (RedisSockets, AsyncRedisSocket):
        with pytest.raises(OnlineStoreError, match="has no option 'ssl_ca'"):
            client("rediss://host?ssl_ca=ca.pem", timeout=1)


def test_a_client_can_be_pickled_and_shows_no_password():
    for kind in (RedisSockets, AsyncRedisSocket):
        client = kind("redis://user:secret@host:1/2", timeout=0.5, client_name="shop")
        copied = pickle.loads(pickle.dumps(client))
        assert repr(copied) == repr(client) == f"{kind.__name__}(redis://host:1/2)"
        kept = copied.__reduce__()[0].keywords
        assert (kept["timeout"], kept["client_name"]) == (0.5, "shop")


# Replies


def test_replies_come_in_the_order_of_the_commands(server, run):
    for url in (server.url, tcp(server)):
        replies = run(
            url,
            [mget(1, 2)],
            [("SET", "of", b"\x00\xff\r\n"), ("GET", b"of"), mget(3), ("DEL", "of", "nothing"), ("GET", "of")],
            [("SMEMBERS", "nothing")],
            [],
        )
        assert replies == [[values(1, 2)], [b"OK", b"\x00\xff\r\n", values(3), 1, None], [[]], []]


def test_a_host_is_a_name_or_an_address_of_either_kind(run):
    with RedisServer(bind="127.0.0.1 -::1") as both:  # of IPv6 if the machine has it
        hosts = ["127.0.0.1", "localhost", *(["[::1]"] if has_ipv6() else [])]
        for host in hosts:
            assert run(f"redis://{host}:{both.port}?socket_keepalive=no", [("PING",)]) == [[b"PONG"]]


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_a_connection_has_a_name_and_a_database(server, run):
    def told(url: str, **options) -> set[bytes]:
        return {*run(url, [("CLIENT", "INFO")], **options)[0][0].split()} & {b"name=", b"db=3", *names}

    names = {b"name=feature-sync", b"name=shop", b"name=other"}
    assert told(server.url) == {b"name=feature-sync"}
    assert told(server.url, client_name="shop") == {b"name=shop"}
    assert told(f"{tcp(server)}/3?client_name=other") == {b"name=other", b"db=3"}
    assert told(server.url, client_name="") == {b"name="}


def test_a_large_pipeline_has_two_commands_on_the_wire(server, run):
    numbers = [random.sample(range(KEYS), 1_000) for _ in range(200)]
    (replies,) = run(server.url, [mget(*each) for each in numbers], timeout=60)
    assert replies == [values(*each) for each in numbers]


def test_a_pipeline_of_many_small_commands_and_one_huge_one(server, run):
    huge = b"x" * 5_000_000
    commands = [*(("GET", f"key {number}") for number in range(KEYS)), ("ECHO", huge), ("GET", "key 0")]
    assert run(server.url, commands, [("ECHO", huge)], timeout=60) == [
        [*values(*range(KEYS)), huge, b"value 0"],
        [huge],
    ]


def test_no_more_than_two_long_commands_wait_for_replies(server, run):
    numbers = range(KEYS)
    with Proxy(server.settings["unixsocket"]) as proxy, ThreadPoolExecutor(1) as pool:
        proxy.hold(RECEIVED, 200)  # the replies to the login come through
        running = pool.submit(run, proxy.url, [mget(*numbers)] * 20, timeout=60)
        proxy.wait_until_reached()
        time.sleep(0.3)
        assert proxy.counted()["sent"] < 3 * len(" ".join(mget(*numbers))) * 2
        proxy.release()
        assert running.result() == [[values(*numbers)] * 20]


def test_replies_that_arrive_byte_by_byte_are_put_together(run):
    reply = b"*2\r\n$3\r\nabc\r\n$-1\r\n"
    with answering(*[b"+OK\r\n"], *[bytes([byte]) for byte in reply], wait=False) as port:
        assert run(f"redis://127.0.0.1:{port}", [("MGET", "a", "b")]) == [[[b"abc", None]]]


# What is refused


def test_a_password_and_an_acl_user_are_sent(run):
    with RedisServer(requirepass="r/ght") as guarded:
        url = tcp(guarded)
        assert run(url.replace("//", "//:r%2Fght@"), [("PING",)]) == [[b"PONG"]]
        assert run(f"unix://default:r%2Fght@{guarded.settings['unixsocket']}", [("PING",)]) == [[b"PONG"]]
        assert "refused a client without a password: put it into the URL" in failure(run, url)
        assert "refused the user or the password" in failure(run, url.replace("//", "//:wrong@"))
        assert "refused the user or the password" in failure(run, url.replace("//", "//nobody:wrong@"))


def test_a_user_with_few_rights_reads_what_it_may(server, run):
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "reader", "reset", "on", ">secret", "%R~key?*", "+mget")
        try:
            url = tcp(server, "reader:secret@")
            assert run(url, [mget(1)]) == [[values(1)]]  # although it may not name its connection
            assert "does not allow it to this user: User reader has no permissions to run the 'get' " in failure(
                run, url, [mget(1), ("GET", "key 1"), mget(2)]
            )
            said = failure(run, url, [("MGET", "other")])
            assert said.endswith(
                "(give it a rule for that key); feature-sync acl --service NAME prints the rules of a service's reader"
            )
        finally:
            client.acl_deluser("reader")


def test_an_error_reply_leaves_the_connection_in_step(server):
    pool = RedisSockets(server.url, timeout=3)
    name = [("CLIENT", "ID")]
    before = pool.run(name)
    with pytest.raises(OnlineStoreError, match="key 1 in Redis is not of the type that pushes write"):
        pool.run([("GET", "key 1"), ("HGETALL", "key 1"), ("GET", "key 2")])
    assert pool.run([*name, mget(3)]) == [*before, values(3)]
    pool.close()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (b"DENIED Redis is running in protected mode because protected mode is enabled", "runs in protected mode"),
        (b"ERR max number of clients reached", "has as many clients as it allows: close some, or raise maxclients"),
        (b"MASTERDOWN Link with MASTER is down", "is a replica that has lost its primary: use the primary"),
        (b"LOADING Redis is loading the dataset in memory", "is still loading its data; try again when it has"),
        (b"READONLY You can't write against a read only replica.", "is a read-only replica: a client may only read"),
        (b"OOM command not allowed when used memory > 'maxmemory'.", "is full: raise maxmemory or remove keys"),
        (b"MOVED 3999 127.0.0.1:6381", "is a node of a Redis Cluster: begin the URL with redis+cluster://"),
        (b"CLUSTERDOWN Hash slot not served", "is a node of a Redis Cluster: begin the URL with redis+cluster://"),
        (b"NOAUTH Authentication required.", "refused a client without a password"),
        (b"ERR something new", "refused a command: ERR something new"),
    ],
)
def test_a_refusal_says_what_to_do(run, error, reason):
    refusal = b"-" + error + b"\r\n"
    with answering(refusal) as port:
        assert f"Redis at redis://127.0.0.1:{port} {reason}" in failure(run, f"redis://127.0.0.1:{port}")
    with answering(b"+OK\r\n", refusal) as port:
        assert reason in failure(run, f"redis://127.0.0.1:{port}")


@pytest.mark.parametrize("error", [b"DENIED Redis is running in protected mode", b"ERR max number of clients reached"])
def test_a_server_that_refuses_before_it_is_asked_says_why(run, error):
    with answering(b"-" + error + b"\r\n", wait=False) as port:
        assert "protected mode" in (said := failure(run, f"redis://127.0.0.1:{port}")) or "as many clients" in said


def test_a_server_without_room_for_a_client_says_so(run):
    with RedisServer(maxclients="1") as small, small.client() as client:
        client.ping()
        assert "has as many clients as it allows" in failure(run, small.url)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"220 mail ESMTP\r\n",
        b":1\r\n",
        b"$3\r\nabc\r\n",
    ],
)
def test_another_service_is_told_from_redis(run, answer):
    with answering(answer) as port:
        assert "does not speak Redis's protocol; is it the port of another" in failure(run, f"redis://127.0.0.1:{port}")
    with answering(b"+OK\r\n", b":1\r\n" + answer) as port, suppress(OnlineStoreError):
        run(f"redis://127.0.0.1:{port}", [("PING",)], [("PING",)])  # whatever it says, it ends


def test_a_reply_to_no_command_is_never_taken_for_the_next_one():
    with answering(b"+OK\r\n", b"+one\r\n+two\r\n") as port:
        url = f"redis://127.0.0.1:{port}"
        assert "does not speak Redis's protocol" in failure(run_in_threads, url)
        assert run_in_asyncio(url, [("PING",)], [("PING",)]) == [
            [b"one"],
            [b"one"],
        ]  # nobody waits for it: it is dropped


def test_a_closed_port_an_unknown_host_and_a_missing_socket_are_told_apart(server, run, tmp_path):
    assert failure(run, f"redis://127.0.0.1:{_free_port()}").endswith("cannot be reached; is it running?")
    assert "cannot be reached: its host name is not known here (" in failure(run, "redis://no-such-host.invalid")
    assert "its socket does not exist; is it running?" in failure(run, f"unix://{tmp_path}/redis.sock")
    assert "cannot be reached" in failure(run, f"unix://{tmp_path}/{'a' * 200}")
    assert "DB index is out of range" in failure(run, f"{tcp(server)}/9999")


def test_a_server_that_closes_the_connection_says_so(run):
    with answering() as port:
        assert "It closed the connection, as the port of another" in failure(run, f"redis://127.0.0.1:{port}")


@contextmanager
def answering(*answers: bytes, wait: bool = True) -> Iterator[int]:
    """Answers what is sent with these, one after another; unless `wait`, without anything being sent."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    for answer in answers:
                        if wait:
                            connection.recv(4096)
                        else:
                            time.sleep(0.005)
                        connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(4096):  # to close with bytes unread would take the answer back
                        pass

        Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


# TLS


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_is_spoken_as_the_options_say(server, run, tmp_path, version):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    mine = authority.issue_cert("client@example.com")
    mine.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    mine.private_key_pem.write_to_path(tmp_path / "client.key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = context.minimum_version = version
    authority.issue_cert("localhost").configure_cert(context)
    with Proxy(server.settings["unixsocket"], tls=context) as proxy:
        url = f"rediss://127.0.0.1:{proxy.port}"
        trusting = f"{url.replace('127.0.0.1', 'localhost')}?ssl_ca_certs={tmp_path}/ca.pem"
        assert run(trusting, [mget(1)], [mget(*range(KEYS))] * 2) == [[values(1)], [values(*range(KEYS))] * 2]
        assert run(f"{url}?ssl_ca_certs={tmp_path}/ca.pem&ssl_check_hostname=false", [mget(1)]) == [[values(1)]]
        assert run(f"{url}?ssl_cert_reqs=none&ssl_ciphers=ECDHE%2BAESGCM&ssl_min_version=1.2", [mget(1)]) == [
            [values(1)]
        ]
        assert "its certificate is for another host" in failure(run, f"{url}?ssl_ca_certs={tmp_path}/ca.pem")
        assert "is signed by an unknown authority" in failure(run, url)
        assert "which ssl_ca_certs of the URL names, does not exist" in failure(run, f"{url}?ssl_ca_certs=/no/where")
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
        assert "client's certificate" in failure(run, trusting)
        known = f"{trusting}&ssl_certfile={tmp_path}/client.pem&ssl_keyfile={tmp_path}/client.key"
        assert run(known, [mget(1)]) == [[values(1)]]
    with answering(b"-ERR no TLS\r\n") as port:
        assert "it does not speak TLS at that port: use redis://" in failure(run, f"rediss://127.0.0.1:{port}")
    with Proxy(server.settings["unixsocket"]) as plain:
        said = failure(run, f"rediss://127.0.0.1:{plain.port}", timeout=0.3)  # Redis waits for more
        assert said.endswith("raise the client's timeout; if it does not speak TLS, the URL begins with redis://")


# Time


@contextmanager
def suspended(server: RedisServer) -> Iterator[None]:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fails if it takes longer; a loaded machine has half a second on top."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds + 0.5


def test_a_suspended_server_ends_every_request_in_time():
    with RedisServer() as silent:
        pool = RedisSockets(silent.url, timeout=0.25)
        pool.run([("PING",)])
        with suspended(silent):
            for url in (silent.url, tcp(silent)):
                with (
                    within(0.25),
                    pytest.raises(OnlineStoreError, match=r"in time \(0.25 s\); raise the client's timeout"),
                ):
                    RedisSockets(url, timeout=0.25).run([("PING",)])
            for timeout in (None, 0.1, 0.3):
                with within(timeout or 0.25), pytest.raises(OnlineStoreError, match=rf"\({timeout or 0.25} s\)"):
                    pool.run([("PING",)], timeout=timeout)
            with within(0.5), pytest.raises(OnlineStoreError, match="did not answer in time"):
                pool.run([("ECHO", b"x" * 10_000_000)], timeout=0.5)
            with within(0), pytest.raises(OnlineStoreError, match=r"in time \(0 s\)"):
                pool.run([("PING",)], timeout=0)
        assert pool.run([("PING",)]) == [b"PONG"]
        pool.close()


def test_a_suspended_server_ends_every_request_of_asyncio_in_time():
    async def run(silent: RedisServer) -> None:
        client, other = (AsyncRedisSocket(silent.url, timeout=0.25) for _ in range(2))
        await client.run([("PING",)])
        with suspended(silent):
            with within(0.5):  # one waits for twice as long, and is sent once more meanwhile
                failures = await asyncio.gather(
                    client.run([mget(1)]),
                    client.run([mget(1), mget(2)], timeout=0.1),
                    client.run([mget(1)], timeout=0.5),
                    other.run([mget(1)]),
                    return_exceptions=True,
                )
            assert [str(each).partition("in time (")[2].partition(")")[0] for each in failures] == [
                "0.25 s", "0.1 s", "0.5 s", "0.25 s"
            ]  # fmt: skip
            late = asyncio.create_task(client.run([("PING",)], timeout=5))
            await asyncio.sleep(0.1)
        assert await late == [b"PONG"]
        assert await client.run([("PING",)]) == [b"PONG"]
        await client.close()
        await other.close()

    with RedisServer() as server:
        asyncio.run(run(server))


def test_one_late_request_does_not_fail_the_others(server):
    async def run() -> None:
        with Proxy(server.settings["unixsocket"]) as proxy:
            client = AsyncRedisSocket(proxy.url, timeout=5)
            await client.run([("PING",)])
            proxy.hold_answer(b"key 7")
            late = asyncio.create_task(client.run([mget(7)], timeout=0.2))
            others = [asyncio.create_task(client.run([mget(number)])) for number in range(10)]
            with pytest.raises(OnlineStoreError, match=r"in time \(0.2 s\)"):
                await late
            proxy.release()
            assert await asyncio.gather(*others) == [[values(number)] for number in range(10)]
            await client.close()

    asyncio.run(run())


def test_dripping_replies_do_not_lengthen_a_request(run):
    with answering(b"+OK\r\n", b"$1000\r\n", *[b"x"] * 1_000, wait=False) as port, within(0.4):
        assert "did not answer in time" in failure(run, f"redis://127.0.0.1:{port}", timeout=0.4)
    with answering(b"+", *[b"O"] * 1_000, wait=False) as port, within(0.4):  # in the login
        assert "did not answer in time" in failure(run, f"redis://127.0.0.1:{port}", timeout=0.4)


# What is lost


def test_a_restarted_server_is_found_again(run):
    with RedisServer() as unsteady:
        pool = RedisSockets(unsteady.url, timeout=5)
        for _ in range(2):
            assert pool.run([("PING",)]) == [b"PONG"]
            unsteady.restart()
        assert pool.run([("PING",)] * 3) == [b"PONG"] * 3
        unsteady.kill()
        for _ in range(2):
            with within(0.1), pytest.raises(OnlineStoreError, match=r"cannot be reached; is it running\?"):
                pool.run([("PING",)])
        unsteady.start()
        assert pool.run([("PING",)]) == [b"PONG"]
        pool.close()


def test_a_restarted_server_is_found_again_by_asyncio():
    async def run(unsteady: RedisServer) -> None:
        client = AsyncRedisSocket(unsteady.url, timeout=5)
        for _ in range(2):
            assert await asyncio.gather(*(client.run([("PING",)]) for _ in range(3))) == [[b"PONG"]] * 3
            unsteady.restart()  # without a turn of the loop: what comes next is written to the lost connection
        assert await client.run([("PING",)] * 3) == [b"PONG"] * 3
        unsteady.kill()
        with within(0.1):
            failures = await asyncio.gather(*(client.run([("PING",)]) for _ in range(3)), return_exceptions=True)
        assert all(str(each).endswith("cannot be reached; is it running?") for each in failures)
        unsteady.start()
        assert await client.run([("PING",)]) == [b"PONG"]
        await client.close()

    with RedisServer() as server:
        asyncio.run(run(server))


def test_a_request_is_sent_twice_and_no_more(server, run):
    with Proxy(server.settings["unixsocket"]) as proxy:
        proxy.cut_answer(b"key 7")
        assert run(proxy.url, [mget(1)], [mget(7)]) == [[values(1)], [values(7)]]
    requests = []

    def serve(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"+OK\r\n")
                    requests.append(connection.recv(4096))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        Thread(target=serve, args=(listening,), daemon=True).start()
        assert "It closed the connection" in failure(run, f"redis://127.0.0.1:{listening.getsockname()[1]}")
        listening.shutdown(socket.SHUT_RDWR)
    assert len(requests) == 2


def test_a_replica_answers_reads(server, run):
    with RedisServer(replicaof=f"127.0.0.1 {server.port}") as replica, replica.client() as client:
        deadline = time.monotonic() + 30
        while client.info("replication")["master_link_status"] != "up" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert run(tcp(replica), [mget(1, 2)]) == [[values(1, 2)]]
        assert "is a read-only replica: a client may only read from it" in failure(
            run, replica.url, [("SET", "a", "b")]
        )


def test_a_refused_login_is_not_tried_again(run):
    logins = []

    def serve(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection:
                    logins.append(connection.recv(4096))
                    connection.sendall(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        Thread(target=serve, args=(listening,), daemon=True).start()
        url = f"redis://user:secret@127.0.0.1:{listening.getsockname()[1]}"
        assert "refused the user or the password" in failure(run, url)
        listening.shutdown(socket.SHUT_RDWR)
    assert len(logins) == 1
    assert logins[0].startswith(b"*3\r\n$4\r\nAUTH\r\n$4\r\nuser\r\n$6\r\nsecret\r\n")


# Threads, processes and interrupts


def clients(server: RedisServer, name: str) -> int:
    with server.client() as client:
        return sum(each["name"] == name for each in client.client_list())


def test_threads_share_the_pool(server):
    pool = RedisSockets(server.url, timeout=10, client_name="threads")

    def read(seed: int) -> None:
        numbers = random.Random(seed)
        for _ in range(300):
            wanted = numbers.sample(range(KEYS), numbers.randint(1, 20))
            assert pool.run([mget(*wanted)] * numbers.randint(1, 3))[0] == values(*wanted)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(read, range(8)))
    assert 1 <= clients(server, "threads") <= 8
    pool.close()
    assert wait_for(lambda: clients(server, "threads") == 0)


def wait_for(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()


def test_a_connection_that_is_in_use_while_the_pool_is_closed_is_closed_after_it(server):
    pool = RedisSockets(server.url, timeout=10, client_name="closing")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(pool.run, [("BLPOP", "nothing", "0.3")])
        assert wait_for(lambda: clients(server, "closing") == 1)
        pool.close()
        assert waiting.result() == [None]
    assert wait_for(lambda: clients(server, "closing") == 0)


def read_often(pool: RedisSockets, seed: int) -> bool:
    numbers = random.Random(seed)
    for _ in range(200):
        wanted = numbers.sample(range(KEYS), 5)
        if pool.run([mget(*wanted)]) != [values(*wanted)]:
            return False
    return True


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_have_connections_of_their_own(server, method):
    pool = RedisSockets(server.url, timeout=10)
    assert read_often(pool, 0)
    with multiprocessing.get_context(method).Pool(3) as workers:
        running = workers.starmap_async(read_often, [(pool, seed) for seed in range(6)])
        assert read_often(pool, 7)  # at the same time
        assert all(running.get(60))
    pool.close()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_uses_none_of_the_parents_connections(server):
    pool, client = RedisSockets(server.url, timeout=10), AsyncRedisSocket(server.url, timeout=10)
    command = [("CLIENT", "ID")]

    def in_child() -> None:
        ids = [*pool.run(command), *asyncio.run(client.run(command))]
        os.write(writing, b"%d %d" % tuple(ids))

    with asyncio.Runner() as runner:
        before = [*pool.run(command), *runner.run(client.run(command))]
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            try:
                in_child()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        theirs = [int(each) for each in os.read(reading, 100).split()]
        assert len(theirs) == 2
        assert set(theirs).isdisjoint(before)
        assert [*pool.run(command), *runner.run(client.run(command))] == before
        runner.run(client.close())
    os.close(reading)
    os.close(writing)
    pool.close()


INTERRUPTED = """
import random, signal, sys
from feature_sync.serving.sockets import RedisSockets

class Interrupted(BaseException):
    pass

kind = {"Interrupted": Interrupted}.get(sys.argv[2]) or getattr(__builtins__, sys.argv[2])

def interrupt(number, frame):
    raise kind

def read(number):
    assert pool.run([("MGET", f"key {number}"), ("GET", "key 1")]) == [[b"value %d" % number], b"value 1"]

pool = RedisSockets(sys.argv[1], timeout=10)
signal.signal(signal.SIGALRM, interrupt)
read(0)
interrupts = 0
signal.setitimer(signal.ITIMER_REAL, 0.1)
try:
    pool.run([("BLPOP", "nothing", "1")])
except kind:
    interrupts += 1
read(1)
for attempt in range(1_000):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00001, 0.0003))
        for number in range(attempt, attempt + 10):
            read(number)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except kind:
        interrupts += 1
print(interrupts)
"""


@pytest.mark.parametrize("kind", ["KeyboardInterrupt", "SystemExit", "Interrupted"])
def test_an_interrupt_leaves_no_half_answer_in_the_pool(server, kind):
    # A process of its own: coverage's tracer holds locks that an interrupt would leave locked.
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, server.url, kind], check=False, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert int(ended.stdout) > 100


# asyncio


def test_five_thousand_tasks_share_one_connection(server):
    async def run() -> None:
        client = AsyncRedisSocket(tcp(server), timeout=30, client_name="tasks")
        wanted = [random.sample(range(KEYS), random.randint(1, 30)) for _ in range(5_000)]
        replies = await asyncio.gather(*(client.run([mget(*each)]) for each in wanted))
        assert replies == [[values(*each)] for each in wanted]
        assert clients(server, "tasks") == 1
        await client.close()

    asyncio.run(run())


def test_cancelled_tasks_leave_the_connection_in_step(server):
    async def run() -> None:
        client = AsyncRedisSocket(server.url, timeout=30)
        read = {}

        async def ask(number: int) -> None:
            read[number] = await client.run([mget(number), *[mget(*range(1_000))] * (number % 3), mget(number + 1)])

        tasks = {number: asyncio.create_task(ask(number)) for number in range(1_500)}
        cancelled = random.sample(sorted(tasks), 1_000)
        for number in cancelled:
            tasks[number].cancel()
            if random.random() < 0.1:
                await asyncio.sleep(random.uniform(0, 0.002))
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        assert len(read) >= 500
        for number, replies in read.items():
            assert [replies[0], replies[-1]] == [values(number), values(number + 1)]
        assert await client.run([mget(1)]) == [values(1)]
        await client.close()

    asyncio.run(run())


def test_a_client_lives_on_in_another_event_loop(server):
    client = AsyncRedisSocket(server.url, timeout=5)

    async def run() -> list[Any]:
        try:
            return await client.run([mget(1)])
        finally:
            await client.close()

    assert [asyncio.run(run()) for _ in range(3)] == [[values(1)]] * 3
    with ThreadPoolExecutor(4) as threads:
        assert [*threads.map(lambda _: asyncio.run(run()), range(8))] == [[values(1)]] * 8


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_client_that_was_not_closed_lives_on_in_another_event_loop(server):
    client = AsyncRedisSocket(server.url, timeout=5, client_name="unclosed")
    for _ in range(3):
        assert asyncio.run(client.run([mget(1)])) == [values(1)]
    gc.collect()
    assert clients(server, "unclosed") == 1  # that of the newest loop
    del client
    gc.collect()


def test_requests_that_wait_when_the_client_is_closed_fail(server):
    async def run() -> None:
        client = AsyncRedisSocket(server.url, timeout=5)
        for is_connected in (False, True):
            if is_connected:
                await client.run([("PING",)])
            waiting = asyncio.create_task(client.run([("BLPOP", "nothing", "1")]))
            await asyncio.sleep(0)
            await client.close()
            with pytest.raises(OnlineStoreError, match="was closed before the reply came"):
                await waiting
        assert await client.run([("PING",)]) == [b"PONG"]
        await client.close()
        await client.close()

    asyncio.run(run())


def test_what_a_slow_server_has_not_read_waits_outside_the_socket(server):
    async def run() -> None:
        with Proxy(server.settings["unixsocket"]) as proxy:
            client = AsyncRedisSocket(proxy.url, timeout=30)
            await client.run([("PING",)])
            proxy.hold("sent", 1_000)
            payload = b"x" * 100_000
            waiting = [asyncio.create_task(client.run([("ECHO", payload)])) for _ in range(100)]
            await asyncio.sleep(0.2)
            proxy.release()
            assert await asyncio.gather(*waiting) == [[payload]] * 100
            await client.close()

    asyncio.run(run())
