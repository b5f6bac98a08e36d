"""Copies of a used store and a used training set: by `deepcopy`, as scikit-learn's `clone` does, and by `pickle`."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pandas
import pytest

from feature_sync import OnlineStoreError, WarehouseError
from tests.support.unbuilt import UnbuiltProject

COPIES = [copy.copy, copy.deepcopy, lambda used: pickle.loads(pickle.dumps(used))]
ASKING = "select 1 as id, timestamp '2024-01-02' as event_timestamp"
SECRET = "hunter2-in-the-profile"
READ = "import pickle, sys; print(pickle.load(sys.stdin.buffer).get_feature_vector('amounts', {'id': 1}).to_dict())"


@pytest.fixture
def store(tmp_path, redis_url):
    """A store whose warehouse and Redis were used, with a secret in its profile that DuckDB does not need."""
    project = UnbuiltProject(tmp_path / "project", password=SECRET)
    project.view("amounts", "select 1 as id, 7 as amount", features=["amount"])
    with project.open(redis_url) as store:
        list(store.push(gate=False))
        assert store.get_feature_vector("amounts", {"id": 1}).to_dict() == {"amount": 7}
        yield store


@pytest.mark.parametrize("copied", COPIES, ids=["copy", "deepcopy", "pickle"])
def test_a_copy_of_a_used_store_connects_by_itself(store, copied):
    with copied(store) as other:
        store.close()
        assert other.get_feature_vector("amounts", {"id": 1}).to_dict() == {"amount": 7}
        assert other.get_training_set("amounts", spine_sql=ASKING).to_arrow().num_rows == 1
        assert [each.written for each in other.push(gate=False)] == [0]
    assert store.get_feature_vector("amounts", {"id": 1}).to_dict() == {"amount": 7}


@pytest.mark.parametrize("copied", COPIES, ids=["copy", "deepcopy", "pickle"])
def test_a_copy_of_a_used_training_set_gives_the_same_answers(store, tmp_path, copied):
    frame = pandas.DataFrame({"id": [1, 2], "event_timestamp": [pandas.Timestamp("2024-01-02")] * 2})
    path = tmp_path / "spine.csv"
    frame.to_csv(path, index=False)
    for spine, options in ((frame, {}), (path, {}), (None, {"spine_sql": ASKING})):
        used = store.get_training_set("amounts", spine, **options)
        assert copied(used).to_arrow() == used.to_arrow()


def test_another_process_reads_from_a_store_that_it_is_sent(store):
    done = subprocess.run([sys.executable, "-c", READ], input=pickle.dumps(store), capture_output=True, check=False)
    assert done.stdout.decode() == "{'amount': 7}\n", done.stderr.decode()


def test_no_copy_and_no_repr_shows_a_password(store):
    assert store.target.settings["password"] == SECRET
    assert SECRET.encode() not in pickle.dumps(store)
    folder = store.project.dbt.directory
    hidden = {"redis_url": f"redis://:{SECRET}@localhost:1", "variables": {"password": SECRET}}
    shown = [store, store.target, type(store.project.options)(**hidden), store.connections, store.connections.online()]
    shown += [store.get_training_set("amounts", spine_sql=ASKING), store.project, store.connections.sockets()]
    with store.connections.open_warehouse() as warehouse:
        shown.append(warehouse)
        with pytest.raises(WarehouseError) as refused:
            warehouse.fetch("select nothing from nowhere")
    with pytest.raises(OnlineStoreError) as unreachable:
        type(store)(folder, profiles_dir=folder, redis_url=hidden["redis_url"]).get_feature_vector("amounts", {"id": 1})
    for each in (*shown, refused.value, refused.value.__cause__, unreachable.value, unreachable.value.__cause__):
        assert SECRET not in repr(each)
        assert len(repr(each)) < 400, repr(each)
