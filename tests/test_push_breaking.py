"""A push does not break a feature service that Redis serves, unless it is told to."""

from __future__ import annotations

import json

import pytest

from feature_sync.errors import OnlineStoreError
from tests.support.unbuilt import UnbuiltProject

ROWS = "select 1 as id, 2::bigint as amount, 'de' as country, 0.5::double as share"


class Served(UnbuiltProject):
    """A view of four columns and a service of two of its features, pushed once."""

    def __init__(self, folder, redis_url):
        super().__init__(folder)
        self._redis_url = redis_url
        self.define(ROWS, ["amount", "country", "share"])
        self.push()

    def define(self, query, features, *, of_service=("amount", "country"), entities=None, **settings):
        """Define the view and the service anew, over a new table."""
        self.nodes.clear()
        self.exposures.clear()
        self.run('drop table if exists {schema}."orders"')
        block = {"entities": entities or {"customer": "id"}, "timeless": True, "features": features, **settings}
        self.model("orders", query, meta={"feature_view": block})
        if of_service:
            self.service("churn", {"orders": [*of_service]}, ["orders"])

    def push(self, **options):
        with self.open(self._redis_url, key_prefix="breaking") as store:
            return [*store.push(gate=False, **options)]

    def get(self):
        with self.open(self._redis_url, key_prefix="breaking") as store:
            return store.get_feature_vector("churn", {"id": 1}).to_dict()


@pytest.fixture
def served(tmp_path, redis_url):
    return Served(tmp_path, redis_url)


BREAKING = {
    "a served feature is removed": (
        {"query": ROWS, "features": ["amount", "share"], "of_service": ["amount"]},
        "churn: the feature country is gone",
    ),
    "a served feature is retyped": (
        {"query": ROWS.replace("2::bigint", "'2'"), "features": ["amount", "country", "share"]},
        "churn: the feature amount changes from int64 to string",
    ),
    "a served feature is renamed": (
        {"query": ROWS.replace("country", "land"), "features": ["amount", "land"], "of_service": ["amount", "land"]},
        "churn: the feature country is gone",
    ),
    "a key is retyped": (
        {"query": ROWS.replace("1 as id", "'1' as id"), "features": ["amount", "country"]},
        "churn: its keys change from id (int64) to id (string)",
    ),
    "another column is the key": (
        {"query": ROWS.replace("1 as id", "1 as customer_id"), "features": ["amount", "country"],
         "entities": {"customer": "customer_id"}},
        "churn: its keys change from id (int64) to customer_id (int64)",
    ),
    "a key joins": (
        {"query": ROWS + ", 7 as shop", "features": ["amount", "country"], "entities": {"customer": "id", "s": "shop"}},
        "churn: its keys change from id (int64) to id (int64), shop (int64)",
    ),
    "a service that the project dropped is still served": (
        {"query": ROWS, "features": ["amount"], "of_service": ()},
        "churn: the feature country is gone",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BREAKING)
def test_a_push_refuses_what_breaks_a_served_service(served, case):
    change, reason = BREAKING[case]
    before = served.get()
    served.define(**change)
    for options in ({}, {}, {"dry_run": True}, {"full_refresh": True}, {"allow_removals": True}):
        with pytest.raises(OnlineStoreError) as refused:
            served.push(**options)
        assert str(refused.value) == (
            f"orders is served by Redis, and this push would break {reason}. Give the dbt model a new version, "
            "which is pushed beside the old one; or if all readers are ready, add allow_breaking=True"
        )
    served.define(ROWS, ["amount", "country", "share"])
    assert served.get() == before
    served.define(**change)
    (pushed,) = served.push(allow_breaking=True)
    assert pushed.written == 1


SOUND = {
    "nothing changes": {"query": ROWS, "features": ["amount", "country", "share"]},
    "a feature is added": {"query": ROWS + ", 9 as more", "features": ["amount", "country", "share", "more"]},
    "a feature that no service reads is removed": {"query": ROWS, "features": ["amount", "country"]},
    "a feature that no service reads is retyped": {
        "query": ROWS.replace("0.5::double", "'half'"), "features": ["amount", "country", "share"],
    },
    "the order of features changes": {"query": ROWS, "features": ["share", "country", "amount"]},
    "a default is set": {
        "query": ROWS, "features": ["amount", "country"], "default_ttl": None,
    },
    "a value changes": {"query": ROWS.replace("2::bigint", "3::bigint"), "features": ["amount", "country", "share"]},
    "the service drops a feature that the view keeps": {
        "query": ROWS, "features": ["amount", "country", "share"], "of_service": ["amount"],
    },
}  # fmt: skip


@pytest.mark.parametrize("case", SOUND)
def test_a_push_passes_what_breaks_no_reader(served, case):
    change = {name: value for name, value in SOUND[case].items() if name != "default_ttl"}
    served.define(**change)
    if case == "a default is set":
        columns = {"amount": {"name": "amount", "config": {"meta": {"feature": {"default": 5}}}}}
        served.nodes["model.unbuilt.orders"]["columns"] = columns
    served.push()
    assert set(served.get()) >= {"amount"}


def test_a_card_that_cannot_be_read_stops_no_push(served, redis_url):
    import redis

    with redis.Redis.from_url(redis_url) as client:
        (card,) = [key for key in client.scan_iter("*service*churn*") if client.type(key) == b"string"]
        client.set(card, json.dumps({"format": 99}))
    served.define(ROWS, ["amount"], of_service=["amount"])
    served.push()
