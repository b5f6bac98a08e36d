"""A project with one service of one key: its name goes without saying, and the shortest snippets run as they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from feature_sync import FeatureStore, RequestError
from tests.support.unbuilt import UnbuiltProject

IDS = [1, 2, 3]


@pytest.fixture
def project(tmp_path, redis_url, monkeypatch):
    made = UnbuiltProject(tmp_path / "project")
    values = "(1, 'images/1.png', 0.5), (2, 'images/2.png', 0.25), (3, 'images/3.png', null)"
    rows = f"(values {values}) as rows(id, image_path, size)"
    made.view("images", f"select * from {rows}", features=["image_path", "size"])
    made.service("labels", {"images": ["image_path", "size"]}, ["images"])
    monkeypatch.setenv("FEATURE_SYNC_REDIS_URL", redis_url)
    monkeypatch.setenv("DBT_PROFILES_DIR", str(made.folder))
    with made.open(redis_url) as opened:
        opened.push(gate=False)
    return made


def test_the_shortest_snippets_run_as_they_are(project):
    path, id, ids = str(project.folder), 2, IDS  # noqa: A001 - as the snippets have it
    store = FeatureStore(path)
    assert store.get_feature_vector(id)["image_path"] == "images/2.png"
    array = np.concatenate([store.get_feature_vector(i) for i in ids])
    assert (array.shape, array[:, 0].tolist()) == ((3, 2), [f"images/{each}.png" for each in ids])
    frame = pd.DataFrame([store.get_feature_vector(i) for i in ids])
    assert list(frame.columns) == ["image_path", "size"]
    assert frame["size"].tolist()[:2] == [0.5, 0.25]
    assert pd.DataFrame(store.get_online_features(ids).to_dict())["image_path"].tolist() == frame["image_path"].tolist()
    store.close()


def test_keys_by_their_names_and_the_name_of_the_service_are_read_as_ever(project):
    with FeatureStore(project.folder) as store:
        assert store.get_feature_vector({"id": 1})["size"] == 0.5
        assert store.get_feature_vector("labels", 1)["size"] == store.get_feature_vector("images", {"id": 1})["size"]


def test_several_services_or_none_must_be_named(project, redis_url):
    project.service("others", {"images": ["size"]}, ["images"])
    with project.open(redis_url) as store, pytest.raises(RequestError, match=r"several or none \(labels, others\)"):
        store.get_feature_vector(1)
    project.exposures.clear()
    with project.open(redis_url) as store, pytest.raises(RequestError, match=r"several or none \(none\)"):
        store.get_online_features([1])
