"""In a notebook: what objects show is short, is a table where that helps, and holds no password."""

from __future__ import annotations

import pytest

from feature_sync import FeatureStore
from feature_sync.progress import progress_bars
from tests.support.unbuilt import UnbuiltProject

LONGEST = 200
SECRET = "s3cret"


@pytest.fixture
def store(tmp_path, redis_url):
    project = UnbuiltProject(tmp_path / "project", password=SECRET)
    names = [f"feature_{number}" for number in range(60)]
    columns = ", ".join(f"{number} as {name}" for number, name in enumerate(names))
    project.view("wide", f"select 7 as id, {columns}", features=names)
    project.view("odd", "select 7 as id, '<b>' as odd", features=["odd"])
    project.model("asked", "select 7 as id, now() as asked_at, true as is_late", event_time="asked_at")
    project.service("<all>", {"wide": names, "odd": ["odd"]}, ["wide", "odd"])
    with project.open(redis_url) as opened:
        opened.push(gate=False)
    with project.open(f"redis://user:{SECRET}@localhost") as opened:
        yield opened


def objects_of(store: FeatureStore, served: FeatureStore) -> dict[str, object]:
    training_set = store.get_training_set("<all>", "asked", labels="is_late")
    return {
        "store": store,
        "project": store.project,
        "manifest": store.manifest,
        "target": store.target,
        "registry": store.registry,
        "view": store.registry.feature_view("wide"),
        "service": store.registry.feature_services["<all>"],
        "pin": store.pin("<all>"),
        "training set": training_set,
        "training table": training_set.collect(),
        "vector": served.get_feature_vector("<all>", 7),
        "vectors": served.get_online_features("<all>", [7] * 10),
    }


def test_what_objects_show_is_short_and_holds_no_password(store, redis_url):
    with FeatureStore(
        store.project.options.project_dir, profiles_dir=store.project.dbt.directory, redis_url=redis_url
    ) as served:
        shown = objects_of(store, served)
        for name, each in shown.items():
            assert len(repr(each)) < LONGEST + len(str(store.project.dbt.directory)), name
            assert SECRET not in repr(each) + getattr(each, "_repr_html_", str)(), name
        pages = {name: each._repr_html_() for name, each in shown.items() if hasattr(each, "_repr_html_")}
    assert set(pages) == {"store", "registry", "service", "training set", "training table", "vector", "vectors"}
    for name, page in pages.items():
        assert "<table" in page, name
        assert "feature_59" in page or name == "training table", name
        assert "<all>" not in page, name  # escaped
        assert "<b>" not in page, name
    assert "is_late" in pages["training set"]
    assert "present" in pages["vector"]
    assert pages["vectors"].count("<tr") == 7
    assert "6 of 10" in pages["vectors"]


def test_a_store_that_cannot_read_its_project_says_why(tmp_path):
    (tmp_path / "dbt_project.yml").write_text("name: empty\nversion: '1.0'\nprofile: empty\n")
    page = FeatureStore(tmp_path)._repr_html_()
    assert "manifest.json" in page
    assert "dbt" in page


def test_keys_of_a_vector_are_completed(store, redis_url):
    with FeatureStore(
        store.project.options.project_dir, profiles_dir=store.project.dbt.directory, redis_url=redis_url
    ) as served:
        vector = served.get_feature_vector("odd", 7)
        assert vector._ipython_key_completions_() == ["odd"]


def test_progress_is_shown_nowhere_but_on_a_terminal_and_in_a_notebook(capsys):
    with progress_bars() as progress:
        progress("odd", 5)
    assert capsys.readouterr() == ("", "")
