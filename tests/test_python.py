"""The library as a program uses it: few names, requests that run at once, options that a type checker knows."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pandas
import pytest

import feature_sync
from feature_sync import FeatureStore, FeatureSyncError, PushReport, RequestError, UnknownName
from feature_sync.push import PushKeywords, PushOptions
from feature_sync.store.project import OptionKeywords, Options
from feature_sync.training import SpineKeywords, SpineOptions

NAMES = [
    "AsyncFeatureClient", "DefinitionError", "DriftWarning", "Extract", "FeatureClient", "FeatureStore",
    "FeatureSyncError", "FeatureVector", "FeatureVectors", "OnlineStoreError", "Pin", "PinMismatch",
    "ProfileError", "ProjectError", "PushReport", "Pushed", "RequestError", "ServedLog", "Status", "TrainingSet",
    "TrainingTable", "UnknownName", "Verified", "VerifyReport", "WarehouseError", "__version__",
]  # fmt: skip
VIEW = "airport_weather"


@pytest.fixture
def store(example, redis_url, monkeypatch):
    for name, value in example.variables.items():
        monkeypatch.setenv(name, value)
    with FeatureStore(example.folder, redis_url=redis_url) as opened:
        yield opened


def test_the_names_that_programs_import_are_these_and_no_others():
    assert dir(feature_sync) == NAMES
    assert [getattr(feature_sync, name).__name__ for name in NAMES[:-1]] == NAMES[:-1]
    with pytest.raises(AttributeError, match="has no attribute 'FeatureShop'"):
        feature_sync.FeatureShop  # noqa: B018


def test_a_store_is_made_by_its_class_or_by_open_and_shows_its_folder(example, store):
    opened = FeatureStore.open(example.folder, redis_url="redis://:secret@localhost")
    assert repr(opened) == repr(store) == f"FeatureStore('{example.folder}')"
    assert "secret" not in repr(opened.project) + repr(opened.project.options)


def test_a_push_and_a_verification_run_at_once_and_report_each_view(store):
    report = store.push([VIEW])
    assert isinstance(report, PushReport)
    ((pushed,), verified) = report, store.verify([VIEW])
    assert (pushed.feature_view, pushed.written > 0) == (VIEW, True)
    assert (verified.is_equal, [each.feature_view for each in verified]) == (True, [VIEW])
    assert store.push([VIEW])[0].written == 0


def test_a_report_is_a_table_in_a_notebook(store):
    page = store.push([VIEW])._repr_html_()
    assert page.startswith("<table><thead><tr><th>feature view</th><th>written</th>")
    assert f"<tr><td>{VIEW}</td><td>" in page
    assert "held back" not in page
    odd = feature_sync.Pushed(feature_view="<b>", held_back="stale & old", written=1234567)
    page = PushReport([odd])._repr_html_()
    assert "<td>&lt;b&gt;</td><td>1,234,567</td>" in page
    assert "<td>stale &amp; old</td>" in page


@pytest.mark.parametrize("method", ["push", "verify"])
def test_what_is_misspelt_is_refused_at_once(store, method):
    with pytest.raises(UnknownName, match=f"did you mean '{VIEW}'"):
        getattr(store, method)(["airport_wether"])
    with pytest.raises(TypeError, match="dryrun"):
        getattr(store, method)([VIEW], dryrun=True)
    with pytest.raises(TypeError, match="redis"):
        FeatureStore(store.project.options.project_dir, redis="redis://localhost")


@pytest.mark.parametrize("rows", [None, 5, "LGA", {"airport": "LGA"}], ids=repr)
def test_what_is_no_list_of_rows_is_refused(store, rows):
    store.push([VIEW])
    with pytest.raises(RequestError, match=r"^entities are a list of mappings, such as \[{'airport': ...}\], or "):
        store.get_online_features(VIEW, rows)


def test_a_push_takes_pandas_own_moments(store):
    ((pushed,),) = [store.push([VIEW], as_of=pandas.Timestamp("2013-01-31T16:50:00Z"))]
    assert pushed.written > 0
    with pytest.raises(RequestError, match="as_of: NaT is not a moment"):
        store.push([VIEW], as_of=pandas.NaT)
    with pytest.raises(RequestError, match="as_of: '' is not a moment"):
        store.push([VIEW], as_of="")


def test_a_project_that_is_not_there_is_an_error_of_ours(tmp_path):
    with pytest.raises(FeatureSyncError, match=r"dbt_project\.yml"):
        FeatureStore(tmp_path)


@pytest.mark.parametrize(
    ("keywords", "options", "ours"),
    [
        (OptionKeywords, Options, "project_dir"),
        (PushKeywords, PushOptions, "state_schema"),
        (SpineKeywords, SpineOptions, ""),
    ],
)
def test_the_keywords_of_a_request_are_the_fields_of_its_options(keywords, options, ours):
    assert [*keywords.__annotations__] == [each.name for each in fields(options) if each.name != ours]


def test_a_type_checker_knows_every_option_and_every_result(tmp_path):
    good = """\
from feature_sync import FeatureStore

store = FeatureStore("shop", redis_timeout=2.5)
rows: int = sum(each.written for each in store.push(["orders"], dry_run=True, gate=False))
equal: bool = store.verify(sample=10).is_equal
value: object = store.get_feature_vector("orders", {"customer": 7}).to_dict()["amount"]
table = store.get_training_set("orders", "questions", since="2024-01-01").to_arrow()
"""
    wrong = {
        "store.push(dryrun=True)": 'Unexpected keyword argument "dryrun"',
        'store.push(threads="2")': 'Argument "threads"',
        "store.verify(gate=False)": 'Unexpected keyword argument "gate"',
        'FeatureStore("shop", redis="")': 'Unexpected keyword argument "redis"',
        'store.get_training_set("orders", limits=1)': 'Unexpected keyword argument "limits"',
    }
    program = tmp_path / "program.py"
    program.write_text(good + "".join(f"{line}\n" for line in wrong))
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}", str(program)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    found = [line for line in checked.stdout.splitlines() if line.startswith(program.name) and "error" in line]
    assert len(found) == len(wrong), checked.stdout
    for line, message in zip(found, wrong.values(), strict=True):
        assert message in line
    assert Path(feature_sync.__file__).with_name("py.typed").exists()
