"""Where messages come from: topics of Kafka and streams of Redis, from the watermark on, or with a loud reason."""

import json
from time import monotonic

import pytest
import redis

from feature_sync.errors import OnlineStoreError, ProfileError, RequestError
from feature_sync.online.redis.stream_entries import StreamEntries
from feature_sync.stream.dead_letter_file import DeadLetterFile
from feature_sync.stream.kafka import KafkaDeadLetters, KafkaSource
from feature_sync.stream.kafka_options import StreamSettings, read_settings, read_source
from feature_sync.stream.messages import DeadLetter, Message, StreamError
from feature_sync.stream.opening import open_source
from feature_sync.stream.redis_streams import RedisDeadLetters, RedisStreamSource, entry_of, offset_of
from tests.support.kafka import MOST_BYTES, KafkaCluster

SECONDS = 30


@pytest.fixture(scope="module")
def kafka():
    cluster = KafkaCluster()
    yield cluster
    cluster.close()


@pytest.fixture
def topic(kafka, request):
    """A topic of two partitions."""
    name = f"topic{abs(hash(request.node.name))}"
    kafka.create(name, 2)
    return name


@pytest.fixture
def source_of(kafka):
    """Return a source that is closed at the end."""
    made = []

    def make(topic, **positions):
        made.append(KafkaSource(read_source(kafka.url, StreamSettings()), topic, group=topic))
        made[-1].start(lambda: positions.get("at", {}))
        return made[-1]

    yield make
    for each in made:
        each.close()


def take(source, count, *others):
    """Poll until so many messages came, or the time is up; other sources are polled, too, as their processes would."""
    found, give_up = [], monotonic() + SECONDS
    while len(found) < count and monotonic() < give_up:
        found += source.poll(500, 0.05)
        for each in others:
            each.poll(500, 0.01)
    return found


def is_so(condition, *sources):
    give_up = monotonic() + SECONDS
    while not condition() and monotonic() < give_up:
        for each in sources:
            each.poll(500, 0.05)
    return condition()


# Kafka


def test_a_topic_is_read_from_the_watermark_in_the_order_of_each_partition(kafka, topic, source_of):
    kafka.produce(topic, [(at % 2, b"k%d" % at, b"%d" % at, 1_000 + at) for at in range(2_000)])
    source = source_of(topic, at={0: 990})
    found = take(source, 1_010)
    assert [each.offset for each in found if each.partition == 0] == [*range(990, 1_000)]
    assert [each.offset for each in found if each.partition == 1] == [*range(1_000)]
    assert next(each for each in found if each.partition == 1) == Message(1, 0, 1_001, b"k1", b"1")
    assert is_so(lambda: source.is_at_end, source)
    assert source.lags({0: 1_000, 1: 1_000}) == {0: 0, 1: 0}


def test_a_source_goes_back_where_it_is_told_to(kafka, topic, source_of):
    kafka.produce(topic, [(0, None, b"%d" % at) for at in range(100)])
    source = source_of(topic)
    take(source, 100)
    source.seek({0: 95, 1: 0})
    assert not source.is_at_end
    assert [each.offset for each in take(source, 5)] == [95, 96, 97, 98, 99]
    source.seek({0: 0})
    assert len(take(source, 100)) == 100


def test_a_deletion_a_message_without_a_key_and_gaps_between_offsets_are_read(kafka, topic, source_of):
    producer = {"transactional.id": "writer"}
    import confluent_kafka

    writer = confluent_kafka.Producer({"bootstrap.servers": kafka.servers, "log_level": 0, **producer})
    writer.init_transactions(10)
    for at in range(3):  # each leaves a marker of its own in the log, which is no message
        writer.begin_transaction()
        writer.produce(topic, key=b"k", value=None if at == 1 else b"%d" % at, partition=0)
        writer.commit_transaction(10)
    found = take(source_of(topic), 3)
    assert [(each.key, each.value) for each in found] == [(b"k", b"0"), (b"k", None), (b"k", b"2")]


def test_processes_of_one_group_share_the_partitions_and_take_them_over(kafka, topic, source_of):
    kafka.produce(topic, [(at % 2, None, b"%d" % at) for at in range(200)])
    first = source_of(topic)
    assert len(take(first, 200)) == 200
    second = source_of(topic)
    found = take(second, 100, first)  # from its watermark, whatever the first one has read and committed
    assert len({each.partition for each in found}) == 1
    assert [each.offset for each in found] == [*range(100)]
    second.close()
    assert len(take(first, 100)) == 100


def test_committed_offsets_only_show_how_far_a_process_has_come(kafka, topic, source_of):
    import confluent_kafka

    kafka.produce(topic, [(0, None, b"%d" % at) for at in range(50)])
    first = source_of(topic)
    take(first, 50)
    first.commit({0: 50})
    parts = [confluent_kafka.TopicPartition(topic, 0)]
    asking = confluent_kafka.Consumer({"bootstrap.servers": kafka.servers, "group.id": topic, "log_level": 0})
    assert is_so(lambda: asking.committed(parts, timeout=5)[0].offset == 50, first)
    asking.close()
    first.close()
    assert len(take(source_of(topic), 50)) == 50


def test_a_topic_that_was_made_anew_is_a_loud_error(kafka, topic, source_of):
    kafka.produce(topic, [(0, None, b"1")])
    with pytest.raises(StreamError, match="ends at offset 1, but it was read up to 7: the topic was made"):
        take(source_of(topic, at={0: 7}), 1)


def test_a_topic_whose_retention_passed_the_watermark_is_a_loud_error(kafka, topic, source_of):
    large = b"x" * 900_000
    kafka.produce(topic, [(0, None, large) for _ in range(MOST_BYTES // len(large) + 4)], **{"batch.num.messages": 1})
    with pytest.raises(StreamError, match=r"partition 0 of .* begins at offset \d+, but the newest push has seen"):
        take(source_of(topic, at={0: 1}), 1)


def test_brokers_may_go_and_come_back(source_of):
    cluster = KafkaCluster()
    try:
        cluster.create("orders", 2)
        cluster.produce("orders", [(0, None, b"1")])
        source = KafkaSource(read_source(cluster.url, StreamSettings()), "orders", group="readers")
        source.start(dict)
        assert len(take(source, 1)) == 1
        cluster.stop_brokers()
        assert source.poll(10, 0.5) == []
        cluster.start_brokers()
        cluster.produce("orders", [(0, None, b"2")])
        assert [each.value for each in take(source, 1)] == [b"2"]
        cluster.stop_brokers()
        source.close()
    finally:
        cluster.close()


def test_a_wrong_topic_broker_or_option_is_named(kafka, topic):
    address = read_source(kafka.url, StreamSettings())
    source = KafkaSource(address, topic[:-1], group="readers")
    with pytest.raises(StreamError, match=f"kafka has no topic '{topic[:-1]}'; did you mean '{topic}'"):
        source.start(dict)
    with pytest.raises(RequestError, match='refuses its options: No such configuration property: "nope"'):
        KafkaSource(read_source(f"{kafka.url}&nope=1", StreamSettings()), topic, group="readers")


def test_no_broker_is_a_loud_error(monkeypatch):
    monkeypatch.setattr("feature_sync.stream.kafka._SECONDS_TO_ANSWER", 0.5)
    source = KafkaSource(read_source("kafka://127.0.0.1:1", StreamSettings()), "orders", group="readers")
    with pytest.raises(StreamError, match=r"no broker answers for orders of kafka://127\.0\.0\.1:1 .*is --from right"):
        source.start(dict)
    source.close()


# Where it is, and with which options


def test_options_of_kafkas_client_come_from_profile_environment_and_url(monkeypatch):
    monkeypatch.setenv("FEATURE_SYNC_KAFKA_SASL_PASSWORD", "from the environment")
    monkeypatch.setenv("FEATURE_SYNC_STREAM_SOURCE", "kafka://a:9092,b/orders%2Fnew?fetch.min.bytes=2")
    profile = read_settings({"kafka": {"sasl.username": "u", "sasl.password": "p", "enable.sparse": True}}, "profile")
    address = read_source(None, profile)
    assert (address.scheme, address.servers, address.topic) == ("kafka", "a:9092,b", "orders/new")
    assert dict(address.options) == {
        "sasl.username": "u",
        "sasl.password": "from the environment",
        "enable.sparse": "true",
        "fetch.min.bytes": "2",
    }
    assert "environment" not in repr(address)
    assert read_source("rediss-stream://h:1/2", profile).servers == "rediss://h:1/2"
    assert read_source("redis-stream://", profile).servers == ""


@pytest.mark.parametrize("url", ["redis+cluster://a:7000", "redis+sentinel://a:26379/m"])
def test_a_stream_in_the_redis_of_the_features_must_lie_on_one_server(url):
    address = read_source("redis-stream://", read_settings({}, "profile"))
    with pytest.raises(RequestError, match=r"is read from one server, .* --from redis-stream://HOST:PORT"):
        open_source(address, "events", group="g", redis_url=url, timeout=1)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (None, "say where the messages come from with --from or FEATURE_SYNC_STREAM_SOURCE"),
        ("kafka:a", "must begin with kafka://, redis-stream:// or rediss-stream://"),
        ("amqp://a", "must begin with kafka://, redis-stream:// or rediss-stream://"),
        ("kafka://user:secret@a:9092", "the brokers in a kafka:// URL cannot be read"),
        ("kafka://", "the brokers in a kafka:// URL cannot be read"),
        (
            "kafka://a?auto.offset.reset=latest",
            "auto.offset.reset of Kafka's client cannot be set: a stream that cannot",
        ),
    ],
)
def test_a_source_that_cannot_be_read_is_refused_without_its_text(url, message):
    with pytest.raises(RequestError) as refused:
        read_source(url, StreamSettings())
    assert message in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("kafka://a", "p: must be a mapping of source, schema_registry, kafka"),
        ({"sorce": "kafka://a"}, "p.sorce: unknown key; did you mean 'source'?"),
        ({"source": 7}, "p.source: must be a URL"),
        ({"kafka": ["sasl"]}, "p.kafka: must be a mapping of options of Kafka's client"),
    ],
)
def test_settings_of_the_profile_that_are_wrong_are_named(block, message):
    with pytest.raises(ProfileError) as refused:
        read_settings(block, "p")
    assert message in str(refused.value)


# Streams of Redis


@pytest.fixture
def entries(redis_url):
    made = StreamEntries(redis_url, "orders", timeout=10)
    yield made
    made.close()


def test_a_stream_of_redis_is_read_from_the_watermark(redis_url, entries):
    client = redis.Redis.from_url(redis_url)
    for at in range(1, 6):
        client.xadd("orders", {"value": b"%d" % at, "key": b"k"}, id=f"{at}-{at}")
    source = RedisStreamSource(entries, "orders")
    source.start(lambda: {0: offset_of((3, 3)) + 1})
    found = source.poll(500, 0.05)
    assert found == [Message(0, offset_of((at, at)), at, b"k", b"%d" % at) for at in (4, 5)]
    assert entry_of(found[0].offset) == (4, 4)
    assert not source.is_at_end
    assert source.poll(500, 0.01) == []
    assert source.is_at_end
    assert source.lags({0: found[-1].offset + 1}) == {0: 0}
    source.seek({})
    assert [each.value for each in source.poll(2, 0.05)] == [b"1", b"2"]
    assert source.lags({0: 0}) == {0: 5}


def test_fields_of_an_entry_that_are_no_value_are_a_document(redis_url, entries):
    client = redis.Redis.from_url(redis_url)
    client.xadd("orders", {"id": "7", "city": "Köln"})
    client.xadd("orders", {"key": "7"})
    source = RedisStreamSource(entries, "orders")
    source.start(dict)
    first, second = source.poll(2, 0.05)
    assert json.loads(first.value) == {"id": "7", "city": "Köln"}
    assert (second.key, second.value) == (b"7", None)


def test_a_stream_that_was_trimmed_past_the_watermark_or_made_anew_is_a_loud_error(redis_url, entries):
    client = redis.Redis.from_url(redis_url)
    source = RedisStreamSource(entries, "orders")
    with pytest.raises(StreamError, match=r"Redis has no stream orders of unix:///.*: producers make it with XADD"):
        source.start(dict)
    for at in range(1, 6):
        client.xadd("orders", {"value": b"1"}, id=f"{at}-0")
    client.xtrim("orders", maxlen=3, approximate=False)
    source.start(lambda: {0: offset_of((3, 0)) + 1})  # the newest entry that was pushed is still there
    source.start(dict)  # nor has anything been seen that could be missed
    for seen in (0, offset_of((1, 0)) + 1):
        with pytest.raises(StreamError, match=r"begins at 3-0, but the newest push has seen it .*were trimmed"):
            source.seek({0: seen})
    client.delete("orders")
    client.xadd("orders", {"value": b"1"}, id="2-0")
    with pytest.raises(StreamError, match="ends at 2-0, but it was read up to 5-0: it was made anew"):
        source.seek({0: offset_of((5, 0)) + 1})


def test_ids_that_are_no_offsets_and_a_redis_that_is_gone_are_named(redis_url, entries):
    redis.Redis.from_url(redis_url).xadd("orders", {"value": b"1"}, id=f"1-{2**20}")
    source = RedisStreamSource(entries, "orders")
    with pytest.raises(StreamError, match="the id 1-1048576 is too large: let Redis choose ids"):
        source.start(dict)
    gone = RedisStreamSource(StreamEntries("redis://127.0.0.1:1", "orders", timeout=0.5), "orders")
    with pytest.raises(OnlineStoreError, match=r"Redis at redis://127\.0\.0\.1:1 "):
        gone.start(dict)


# Dead letters

LETTERS = [
    DeadLetter(Message(1, 7, 1_000, b"k", b'{"a": 1}'), "a: it is é"),
    DeadLetter(Message(0, 8, None, None, b"\xff"), "it is not JSON"),
]


def test_dead_letters_in_a_file_are_lines_of_json_for_its_owner_alone(tmp_path):
    place = DeadLetterFile(tmp_path / "dead" / "orders.jsonl")
    for letter in LETTERS:
        place.bury("orders", [letter])
    lines = [json.loads(each) for each in (tmp_path / "dead" / "orders.jsonl").read_text().splitlines()]
    assert lines == [
        {
            "reason": "a: it is é", "topic": "orders", "partition": 1, "offset": 7, "timestamp": 1_000, "key": "k",
            "value": '{"a": 1}',
        },
        {
            "reason": "it is not JSON", "topic": "orders", "partition": 0, "offset": 8, "timestamp": None, "key": None,
            "value_base64": "/w==",
        },
    ]  # fmt: skip
    assert (tmp_path / "dead" / "orders.jsonl").stat().st_mode & 0o777 == 0o600


def test_dead_letters_in_a_topic_are_the_messages_with_their_reasons(kafka, topic):
    KafkaDeadLetters(read_source(kafka.url, StreamSettings()), topic).bury("orders", LETTERS)
    found = [each for part in (0, 1) for each in kafka.messages(topic, 2, part, seconds=2)]
    by_value = {each.value(): dict(each.headers()) for each in found}
    assert by_value[b"\xff"]["feature_sync.reason"] == b"it is not JSON"
    assert by_value[b'{"a": 1}'] == {
        "feature_sync.reason": "a: it is é".encode(),
        "feature_sync.topic": b"orders",
        "feature_sync.partition": b"1",
        "feature_sync.offset": b"7",
    }


def test_dead_letters_that_no_broker_takes_are_an_error(monkeypatch):
    monkeypatch.setattr("feature_sync.stream.kafka._SECONDS_TO_BURY", 0.5)
    place = KafkaDeadLetters(read_source("kafka://127.0.0.1:1", StreamSettings()), "dead")
    with pytest.raises(StreamError, match=r"dead letters cannot be written to dead of kafka://127\.0\.0\.1:1: "):
        place.bury("orders", LETTERS)


def test_dead_letters_in_a_stream_of_redis_are_entries(redis_url):
    RedisDeadLetters(StreamEntries(redis_url, "dead", timeout=10)).bury("orders", LETTERS)
    first, second = (fields for _, fields in redis.Redis.from_url(redis_url).xrange("dead"))
    assert first == {
        b"key": b"k",
        b"value": b'{"a": 1}',
        b"reason": "a: it is é".encode(),
        b"topic": b"orders",
        b"id": b"0-7",
    }
    assert b"key" not in second
