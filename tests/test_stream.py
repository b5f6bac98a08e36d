"""`feature-sync stream` in processes of its own, from Kafka and Redis to rows: the newest, whatever goes wrong."""

import json
import re
import signal
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from urllib.request import urlopen

import pytest
import redis
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from feature_sync.stream.redis_streams import offset_of
from tests.support.kafka import KafkaCluster
from tests.support.redis_server import RedisServer
from tests.support.streamed import NOON, StreamedOrders
from tests.test_json import fits


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
    kafka.create(f"{name}.dead", 1)
    return name


@pytest.fixture
def orders(tmp_path, redis_url, topic):
    return StreamedOrders(tmp_path / "shop", redis_url, topic=topic, dead_letter_topic=f"{topic}.dead")


def test_messages_become_rows_and_the_newest_of_a_key_stays_in_whatever_order_they_come(kafka, topic, orders):
    orders.push({}, (1, 10, 1.0, "pushed"), (2, 10, 2.0, "pushed"), (3, 10, 3.0, "pushed"))
    message = orders.message
    kafka.produce(topic, [
        (0, None, message(1, 20, 1.5)), (0, None, message(1, 15, 1.2)), (0, None, message(1, 20, 1.5)),
        (1, None, message(2, 5, 9.0)), (1, None, message(4, 0, 4.0, "new")), (1, None, message(4, 0, 4.5, "newer")),
    ])  # fmt: skip
    done = orders.stream(kafka.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "orders: 6 messages, 4 rows applied, 0 dead letters\n"
    assert orders.rows() == {
        1: (20, 1.5, None), 2: (10, 2.0, "pushed"), 3: (10, 3.0, "pushed"), 4: (0, 4.5, "newer"),
    }  # fmt: skip
    again = orders.stream(kafka.url)
    assert again.stdout == "orders: 6 messages, 0 rows applied, 0 dead letters\n"


def test_a_stream_begins_where_the_push_has_seen_it_and_goes_back_there_after_each_push(kafka, topic, orders):
    orders.push({0: 1})
    kafka.produce(topic, [(0, None, orders.message(1, 0, 1.0)), (0, None, orders.message(2, 0, 2.0))])
    running = orders.start(kafka.url)
    running.wait_for_rows({2: (0, 2.0, None)})
    orders.client.delete(*orders.client.keys("shop:orders:{*"))
    orders.push({0: 0}, until=NOON - timedelta(days=1))  # a push that has seen less, into a store that lost rows
    running.wait_for_rows({1: (0, 1.0, None), 2: (0, 2.0, None)})
    assert running.stop() == 128 + signal.SIGTERM


def test_a_stream_waits_for_the_first_push_and_reads_the_schema_of_the_newest(kafka, topic, orders):
    kafka.produce(topic, [(0, None, orders.message(1, 0, 1.0, "a"))])
    running = orders.start(kafka.url)
    assert "waiting for the first push of orders as a streamed view: feature-sync push orders" in (
        running.wait_for_text("waiting")
    )
    orders.push({})
    running.wait_for_rows({1: (0, 1.0, "a")})
    orders.features = {"note": "string"}
    orders.push({})
    running.wait_for_rows({1: (0, "a")})
    running.stop()


def test_messages_that_cannot_be_rows_are_dead_letters_and_the_stream_goes_on(kafka, topic, orders):
    orders.push({})
    good, poison = orders.message(1, 0, 1.0), orders.message(2, 0, "much")
    kafka.produce(topic, [(0, b"k", good), (0, b"k", poison), (0, b"k", b"{"), (0, b"k", None), (0, None, good)])
    done = orders.stream(kafka.url)
    assert done.stdout == "orders: 5 messages, 2 rows applied, 3 dead letters\n", done.stderr
    assert orders.rows() == {1: (0, 1.0, None)}
    letters = kafka.messages(f"{topic}.dead", 3)
    assert [each.value() for each in letters] == [poison, b"{", None]
    assert [dict(each.headers())["feature_sync.offset"] for each in letters] == [b"1", b"2", b"3"]
    assert dict(letters[0].headers())["feature_sync.reason"] == b"amount: 'much' is not a number"


def test_a_deletion_stands_until_a_newer_row_comes(kafka, topic, tmp_path, redis_url):
    orders = StreamedOrders(tmp_path / "keyed", redis_url, topic=topic, key_format="string", columns={"id": "$key"})
    orders.push({}, (1, 0, 1.0, None), (2, 0, 2.0, None))

    def at(seconds):
        return int((NOON + timedelta(seconds=seconds)).timestamp() * 1_000)

    kafka.produce(topic, [
        (0, b"1", None, at(10)), (0, b"1", orders.message(1, 5, 1.5)), (0, b"2", None, at(10)),
        (0, b"2", orders.message(2, 20, 2.5)), (0, b"3", None, at(0)),
    ])  # fmt: skip
    done = orders.stream(kafka.url)
    assert done.returncode == 0, done.stderr
    assert orders.rows() == {2: (20, 2.5, None)}


def test_without_a_place_for_dead_letters_the_first_one_stops_the_stream(kafka, topic, tmp_path, redis_url):
    orders = StreamedOrders(tmp_path / "bare", redis_url, topic=topic)
    orders.push({})
    kafka.produce(topic, [(0, None, b"[]")])
    done = orders.stream(kafka.url)
    assert done.returncode == 1
    assert f"Error: the message at offset 0 of partition 0 of {topic} of kafka://" in done.stderr
    assert (
        "cannot be a row: the message is not a mapping of fields, so it has no field 'amount'. Name a dead_letter_"
        in (done.stderr)
    )


def test_a_wholly_wrong_topic_stops_the_stream_before_it_fills_the_dead_letters(kafka, topic, tmp_path, redis_url):
    orders = StreamedOrders(tmp_path / "wrong", redis_url, topic=topic, dead_letter_file="dead.jsonl")
    orders.push({})
    kafka.produce(topic, [(0, None, b'{"other": %d}' % at) for at in range(1_000)])
    done = orders.stream(kafka.url)
    assert done.returncode == 1
    assert f"Error: none of the first 100 messages of {topic} of kafka://" in done.stderr
    assert "are the topic, the format and the columns of the view's stream right?" in done.stderr
    lines = (orders.folder / "dead.jsonl").read_text().splitlines()
    assert [json.loads(each)["offset"] for each in lines] == [*range(100)]


def test_dead_letters_that_cannot_be_stored_stop_the_stream(kafka, topic, tmp_path, redis_url):
    orders = StreamedOrders(tmp_path / "full", redis_url, topic=topic, dead_letter_file="target/manifest.json/dead")
    orders.push({})
    kafka.produce(topic, [(0, None, b"[]")])
    done = orders.stream(kafka.url)
    assert done.returncode == 1
    assert "manifest.json/dead cannot be written: " in done.stderr


def test_two_processes_share_a_topic_and_one_takes_over_when_the_other_is_killed(kafka, topic, orders):
    orders.push({})
    first, second = orders.start(kafka.url), orders.start(kafka.url)
    rows = {}
    for at in range(40):
        rows[at] = (0, float(at), None)
        kafka.produce(topic, [(at % 2, None, orders.message(at, 0, float(at)))])
        if at == 20:
            first.kill()
    second.wait_for_rows(rows)
    assert second.stop() == 128 + signal.SIGTERM


def test_redis_may_be_restarted_empty_or_not_at_all(kafka, topic, tmp_path):
    with RedisServer(save="", appendonly="no") as server:
        orders = StreamedOrders(tmp_path / "shop", server.url, topic=topic)
        orders.push({})
        running = orders.start(kafka.url)
        kafka.produce(topic, [(0, None, orders.message(1, 0, 1.0))])
        running.wait_for_rows({1: (0, 1.0, None)})
        server.restart()
        running.wait_for_text("waiting for the first push")
        orders.push({})
        running.wait_for_rows({1: (0, 1.0, None)})
        server.stop()
        running.wait_for_text("trying again for 60 seconds")
        begun = monotonic()
        assert running.stop(signal.SIGINT) == 128 + signal.SIGINT
        assert monotonic() - begun < 30  # not the minute that it waits for Redis


@pytest.mark.slow  # it takes the minute
def test_a_row_that_redis_refuses_for_good_ends_the_stream_though_those_before_it_are_written_again(
    kafka, topic, orders, redis_url
):
    orders.push({})
    kafka.produce(topic, [(0, None, orders.message(1, 0, 1.0))])
    assert orders.stream(kafka.url).returncode == 0
    with redis.Redis.from_url(redis_url) as client:
        (key,) = (each for each in client.scan_iter("*{1}*", _type="string"))
        client.rpush(key.replace(b"{1}", b"{0}"), "no row")
    kafka.produce(topic, [(0, None, orders.message(1 + at % 100, at, 2.0)) for at in range(6_000)])
    kafka.produce(topic, [(0, None, orders.message(0, 1, 1.0))])
    running = orders.start(kafka.url)
    _, said = running.process.communicate(timeout=100)
    assert running.process.returncode == 1
    assert "trying again for 60 seconds" in said
    assert "refused a command: WRONGTYPE" in said.splitlines()[-1]
    assert said.count("trying again") < 100


def test_a_signal_ends_a_stream_whose_brokers_are_gone(tmp_path, redis_url):
    cluster = KafkaCluster()
    try:
        cluster.create("orders", 1)
        orders = StreamedOrders(tmp_path / "shop", redis_url)
        orders.push({})
        running = orders.start(cluster.url)
        running.wait_for_text("partitions assigned")
        cluster.stop_brokers()
        running.wait_for_text("brokers are down")
        assert running.stop() == 128 + signal.SIGTERM
    finally:
        cluster.close()


def test_a_stream_of_redis_becomes_rows_of_the_same_redis(tmp_path, redis_url):
    client = redis.Redis.from_url(redis_url)
    orders = StreamedOrders(tmp_path / "shop", redis_url, topic="events", dead_letter_topic="events:dead")
    first = client.xadd("events", {"value": orders.message(1, 0, 1.0)})
    client.xadd("events", {"value": orders.message(1, 1, 2.0)})
    client.xadd("events", {"value": b"nonsense"})
    milliseconds, number = map(int, first.split(b"-"))
    orders.push({0: offset_of((milliseconds, number)) + 1})
    done = orders.stream("redis-stream://")
    assert done.stdout == "orders: 2 messages, 1 rows applied, 1 dead letters\n", done.stderr
    assert orders.rows() == {1: (1, 2.0, None)}
    assert [fields[b"value"] for _, fields in client.xrange("events:dead")] == [b"nonsense"]


def test_the_profile_and_the_environment_name_the_source(kafka, topic, orders):
    orders.push({})
    kafka.produce(topic, [(0, None, orders.message(1, 0, 1.0))])
    assert orders.stream("", FEATURE_SYNC_STREAM_SOURCE=kafka.url).stdout.startswith("orders: 1 messages, 1 rows")
    profiles = json.loads((orders.folder / "profiles.yml").read_text())
    profiles["shop"]["feature_sync"] = {"stream": {"source": "{{ env_var('BROKERS') }}", "kafka": {"client.id": "a"}}}
    orders.write_profile(profiles)
    assert orders.stream("", BROKERS=kafka.url).stdout.startswith("orders: 1 messages, 0 rows")


def test_logs_are_json_if_asked_for(kafka, topic, orders):
    orders.push({})
    kafka.produce(topic, [(0, None, orders.message(1, 0, 1.0))])
    errors = orders.stream(kafka.url, "--log-format", "json").stderr
    lines = [fits("stream_log", json.loads(each)) for each in errors.splitlines()]
    last = next(each for each in lines if each["event"] == "stream ended")
    assert (last["event"], last["feature_view"], last["messages"], last["applied"]) == ("stream ended", "orders", 1, 1)
    assert next(each for each in lines if each["event"] == "partitions assigned")["assigned_partitions"] == [0, 1]


# What a person gets wrong


def test_a_view_without_a_stream_a_fixed_clock_and_a_wrong_source_are_refused(tmp_path, redis_url):
    orders = StreamedOrders(tmp_path / "shop", redis_url)
    assert "Error: say where the messages come from with --from" in orders.stream("").stderr
    assert "has stream.topic orders, and --from names the topic other" in orders.stream("kafka://a/other").stderr
    assert "no feature view is called 'ordes'" in orders.stream("kafka://a", view="ordes").stderr
    orders.define()
    assert (
        "orders has no stream: name the topic of its rows, as stream: {topic: ...}" in orders.stream("kafka://a").stderr
    )
    orders.define(stream={"topic": "orders"})
    project = json.loads((orders.folder / "dbt_project.yml").read_text())
    clock = {**project, "vars": {"feature_sync_as_of": "2013-01-01T00:00:00Z"}}
    (orders.folder / "dbt_project.yml").write_text(json.dumps(clock))
    assert (
        "cannot stream while the dbt variable feature_sync_as_of fixes the clock" in orders.stream("kafka://a").stderr
    )


def test_a_format_that_cannot_be_read_is_refused_before_the_first_message(kafka, topic, orders):
    orders.push({})
    orders.define(stream={"topic": topic, "format": "avro"})
    assert "its messages need a schema registry: name it in FEATURE_SYNC_SCHEMA_REG" in orders.stream(kafka.url).stderr
    orders.define(stream={"topic": topic, "format": "protobuf", "descriptor": "gone.pb"})
    assert "gone.pb: No such file or directory: see stream.descriptor" in orders.stream(kafka.url).stderr


def test_a_view_that_was_pushed_at_a_fixed_clock_is_refused(kafka, topic, orders):
    orders.push({}, as_of=datetime(2013, 1, 1, tzinfo=UTC))
    kafka.produce(topic, [(0, None, orders.message(1, 0, 1.0))])
    refused = orders.stream(kafka.url)
    assert refused.returncode == 1
    assert "orders was pushed at a fixed clock (--as-of): feature-sync push orders --full-refresh" in refused.stderr


def test_a_process_answers_metrics_of_what_it_has_done(kafka, topic, orders):
    orders.push({0: 1})
    kafka.produce(topic, [(0, None, orders.message(1, 0, 1.0), 1_000), (0, None, orders.message(1, 5, 2.0), 2_000)])
    kafka.produce(topic, [(1, None, orders.message(2, 5, 3.0), 3_000), (1, None, b"no document", 4_000)])
    running = orders.start(kafka.url, "--metrics-at", "0")
    url = re.search(r"http://127\.0\.0\.1:\d+/metrics", running.wait_for_text("metrics at")).group()
    running.wait_for_rows({1: (5, 2.0, None), 2: (5, 3.0, None)})
    give_up = monotonic() + 30
    while len((found := metrics_of(url)).get("lag_messages", ())) < 2 and monotonic() < give_up:
        sleep(0.05)
    assert {name: found[name] for name in ("messages", "rows", "dead_letters", "returns")} == {
        "messages": {(): 3},  # offset 0 of partition 0 lies below the watermark
        "rows": {("applied",): 2, ("seen",): 0, ("older",): 0},
        "dead_letters": {(): 1},
        "returns": {(): 0},
    }
    assert found["last_message_timestamp_seconds"] == {(): 4.0}
    assert found["lag_messages"] == found["lag_seconds"] == {("0",): 0, ("1",): 0}
    assert found["start_timestamp_seconds"][()] <= found["fine_timestamp_seconds"][()]
    assert running.stop() == 128 + signal.SIGTERM


def metrics_of(url):
    """By the metric's name, the values by what labels them beside project and view."""
    found = {}
    with urlopen(url) as page:
        for family in text_string_to_metric_families(page.read().decode()):
            for sample in family.samples:
                assert (sample.labels.pop("project"), sample.labels.pop("view")) == ("shop", "orders")
                name = sample.name.removeprefix("feature_sync_stream_process_")
                found.setdefault(name, {})[tuple(sample.labels.values())] = sample.value
    return found


@pytest.mark.parametrize("where", ["70000", ""])
def test_a_port_that_is_none_is_named(tmp_path, redis_url, where):
    orders = StreamedOrders(tmp_path / "shop", redis_url)
    refused = orders.stream("kafka://127.0.0.1:1", "--metrics-at", where)
    assert refused.returncode == 1
    assert f"--metrics-at: {where!r} is not a port, or host:port, such as 9465 or 0.0.0.0:9465" in refused.stderr
