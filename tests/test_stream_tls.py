"""Topics of Kafka over TLS, and by a user with a password: what a stream needs for it, and what failures say."""

from __future__ import annotations

import json
import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from feature_sync.errors import RequestError
from feature_sync.stream.kafka import KafkaSource
from feature_sync.stream.kafka_options import StreamSettings, read_source
from feature_sync.stream.messages import StreamError
from tests.support.kafka_gate import KafkaGate
from tests.support.streamed import NOON, StreamedOrders
from tests.support.tansu import TansuBroker

TOPIC = "orders"
HOSTS = "localhost", "127.0.0.1"
USER = {"sasl.mechanism": "PLAIN", "sasl.username": "streams", "sasl.password": "s3cret=&%"}
_ENVIRONMENT = {f"FEATURE_SYNC_KAFKA_{name.upper().replace('.', '_')}": value for name, value in USER.items()}


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def context(authority):
    """What both gates show; a test may let them show another certificate."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*HOSTS).configure_cert(made)
    return made


@pytest.fixture(scope="module")
def folder(authority, tmp_path_factory):
    made = tmp_path_factory.mktemp("certificates")
    authority.cert_pem.write_to_path(made / "ca.pem")
    trustme.CA().cert_pem.write_to_path(made / "other.pem")
    return made


@pytest.fixture(scope="module", params=[pytest.param("ssl", marks=pytest.mark.slow), "sasl_ssl"])
def gate(request, context, folder):
    """A broker behind TLS, and its topic of one partition with three messages; `sasl_ssl` asks for a user, too."""
    users = {"streams": USER["sasl.password"]} if request.param == "sasl_ssl" else None
    made = KafkaGate(context, users)
    broker = TansuBroker(advertised=made.servers)
    host, _, port = broker.servers.partition(":")
    made.broker, made.protocol = (host, int(port)), request.param
    options = {"security.protocol": request.param, "ssl.ca.location": f"{folder}/ca.pem"}
    options |= USER if users else {}
    broker.create(TOPIC, 1, **options)
    moments = [(NOON + timedelta(seconds=at)).isoformat() for at in range(3)]
    orders = [{"id": at, "at": moment, "amount": float(at)} for at, moment in enumerate(moments)]
    broker.produce(TOPIC, [(0, json.dumps(each).encode()) for each in orders], **options)
    yield made
    broker.kill()
    made.close()


def test_a_topic_is_streamed_over_tls(gate, folder, tmp_path, redis_url):
    orders = StreamedOrders(tmp_path / "shop", redis_url)
    orders.push({})
    environment = {"FEATURE_SYNC_KAFKA_SECURITY_PROTOCOL": gate.protocol, **_ENVIRONMENT}
    done = orders.stream(f"kafka://{gate.servers}?ssl.ca.location={folder}/ca.pem", **environment)
    assert done.returncode == 0, done.stderr
    assert orders.rows() == {at: (at, float(at), None) for at in range(3)}


def refusal(gate, **options: str) -> str:
    """Why a topic cannot be read."""
    settings = {"security.protocol": gate.protocol, **(USER if "sasl" in gate.protocol else {}), **options}
    source = KafkaSource(read_source(f"kafka://{gate.servers}", StreamSettings(kafka=settings)), TOPIC, group="test")
    try:
        with pytest.raises(StreamError) as refused:
            source.start(dict)
    finally:
        source.close()
    return str(refused.value)


def test_wrong_certificates_protocols_and_passwords_are_named(gate, context, authority, folder):
    known, day = {"ssl.ca.location": f"{folder}/ca.pem"}, timedelta(days=1)
    untrusted = "the certificate of a broker cannot be verified. Is it of an authority that ssl.ca.location names"
    assert untrusted in refusal(gate, **{"ssl.ca.location": f"{folder}/other.pem"})
    if gate.protocol == "sasl_ssl":
        assert "wrong user or password" in refusal(gate, **known, **{"sasl.password": "wrong"})
    try:
        authority.issue_cert("kafka.example.com").configure_cert(context)
        assert untrusted in refusal(gate, **known)
        authority.issue_cert(*HOSTS, not_after=datetime.now(UTC) - day).configure_cert(context)
        assert untrusted in refusal(gate, **known)
    finally:
        authority.issue_cert(*HOSTS).configure_cert(context)


@pytest.mark.slow
def test_a_broker_that_speaks_tls_or_does_not_is_asked_about(gate):
    assert "if they speak TLS, set security.protocol" in refusal(gate, **{"security.protocol": "plaintext"})
    with pytest.raises(RequestError, match=r"ssl.ca.location failed"):
        refusal(gate, **{"ssl.ca.location": "/no/where"})
