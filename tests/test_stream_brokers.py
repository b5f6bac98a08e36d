"""Streams from brokers of another make, which are killed, and a rebalance under load."""

import pytest

from tests.support.streamed import StreamedOrders
from tests.support.tansu import TansuBroker


@pytest.fixture
def broker():
    made = TansuBroker()
    yield made
    made.kill()


@pytest.mark.slow
def test_a_topic_of_another_broker_is_streamed_and_its_loss_is_a_loud_error(tmp_path, redis_url, broker):
    orders = StreamedOrders(tmp_path / "shop", redis_url)
    orders.push({})
    broker.create("orders", 4)
    numbers = range(2_000)
    broker.produce("orders", [(at % 4, orders.message(at, 0, float(at))) for at in numbers])
    running = orders.start(broker.url)
    running.wait_for_rows({at: (0, float(at), None) for at in numbers})
    broker.kill()
    broker.start()  # without its messages, which nobody but Redis has now
    broker.create("orders", 4)
    broker.produce("orders", [(at, orders.message(at, 1, 0.0)) for at in range(4)])
    done = running.done()
    assert done.returncode == 1
    assert "ends at offset 1, but it was read up to 500: the topic was made anew" in done.stderr
    assert len(orders.rows()) == 2_000


@pytest.mark.slow
def test_processes_that_come_and_are_killed_lose_no_message(tmp_path, redis_url, broker):
    orders = StreamedOrders(tmp_path / "shop", redis_url)
    orders.push({})
    broker.create("orders", 4)
    running, expected = [orders.start(broker.url)], {}
    for at in range(6):
        for number in range(at * 500, at * 500 + 500):
            expected[number % 700] = (number, float(number), None)
        numbers = range(at * 500, at * 500 + 500)
        broker.produce("orders", [(each % 700 % 4, orders.message(each % 700, each, float(each))) for each in numbers])
        running.append(orders.start(broker.url))
        if at % 2:
            running.pop(0).kill()
    running[-1].wait_for_rows(expected)
    for each in running:
        each.stop()


@pytest.mark.slow
def test_a_topic_whose_offsets_have_gaps_is_streamed_to_its_end(tmp_path, redis_url, broker):
    """As compaction leaves a topic: each transaction ends with a marker, whose offset no message ever has."""
    orders = StreamedOrders(tmp_path / "shop", redis_url, key_format="string", columns={"id": "$key"})
    broker.create("orders", 1)
    for at in range(5):  # at the offsets 0, 2, 4, 6 and 8, of which the last deletes
        content = orders.message(at % 2, at, float(at)) if at < 4 else None
        broker.transact("orders", [(0, str(at % 2).encode(), content)])
    orders.push({0: 3}, (0, 0, 0.0, None))  # a watermark in a gap
    done = orders.stream(broker.url)
    assert done.returncode == 0, done.stderr
    assert orders.rows() == {1: (3, 3.0, None)}
    assert orders.online.stream_record().deliveries[0].offset == 8
