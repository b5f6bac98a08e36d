"""The check: every mistake and every warning at once, each with the line at which it stands."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from pathlib import Path

import pytest

from feature_sync import FeatureStore
from tests.support.projects import PROJECTS, BuiltProject, own_copy

PROFILE = "shop: {target: duckdb, outputs: {duckdb: {type: duckdb, path: shop.duckdb}}}\n"
ROWS = "select 1 as customer_id, now() as ordered_at, 2 as spent"


def write_project(folder: Path, files: dict[str, str]) -> BuiltProject:
    """Write a project, and a model of one row for each `.sql` file without content."""
    project = {"profiles.yml": PROFILE, "dbt_project.yml": "name: shop\nversion: 1.0.0\nprofile: shop\n"}
    for name, content in {**project, **files}.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(content).lstrip("\n") or ROWS)
    return BuiltProject(folder, "duckdb")


def check(project, *options) -> tuple[int, list[dict]]:
    """Check a project; returns the exit code and the problems."""
    done = project.feature_sync("check", "--json", *options)
    return done.returncode, json.loads(done.stdout)


def placed(project, problems) -> list[tuple[str, str, str]]:
    """Show problems as file, the text of the line, and the key."""
    return [(each["file"], _text(project, each), each["key"]) for each in problems]


def _text(project, problem) -> str:
    if problem["line"] is None:
        return ""
    return (project.folder / problem["file"]).read_text().splitlines()[problem["line"] - 1].strip()


WRONG = {
    "dbt_project.yml": """
        name: shop
        version: 1.0.0
        profile: shop
        models:
          shop:
            +meta: {feature_view_defaults: {ttl: 30d}}
            old:
              +meta:
                feature_view_defaults:
                  tll: 30d
                  ttl: soon
    """,
    "models/customers.yml": """
        models:
          - name: customers
            config:
              contract: {enforced: true}
              event_time: ordered_at
              meta:
                feature_view:
                  entities: {customer: customer}
                  features: [spent, spend]
                  fearures: [spent]
                  onlin: false
                  lag: 1 hour
                  ttl: 1 day
                  timezone: Mars/Base
            columns:
              - {name: customer_id, data_type: integer}
              - {name: ordered_at, data_type: timestamptz}
              - name: spent
                data_type: integer
                config:
                  meta:
                    feature: {defautl: 0}
          - name: orders
            latest_version: 2
            config:
              event_time: ordered_at
              meta:
                feature_view:
                  entities: {customer: customer_id}
                  features: spent
            versions:
              - v: 1
              - v: 2
                config:
                  meta:
                    feature_view:
                      online: "no"
    """,
    "models/old/refunds.yml": """
        models:
          - name: refunds
            config:
              event_time: ordered_at
              meta: {feature_view: {entities: {customer: customer_id}, features: [spent]}}
          - name: returns
            config:
              event_time: ordered_at
              meta: {feature_view: {entities: {customer: customer_id}, features: [spent], ttl: none}}
    """,
    "models/bare.yml": """
        models:
          - name: bare
            config:
              meta:
                feature_view: {entities: {}}
          - name: words
            config:
              meta:
                feature_view: "yes"
            columns:
              - name: spent
                config:
                  meta: {label: "yes"}
    """,
    "models/ml.yml": """
        exposures:
          - name: churn
            type: dashboard
            owner: {email: a@b.c}
            depends_on:
              - ref('customers')
              - ref('orders', v=1)
            config:
              meta:
                feature_service:
                  full_name: true
                  features:
                    customers: [spent]
                    orders.v1: [spend]
                    nobody: [spent]
    """,
    "snapshots/history.yml": """
        snapshots:
          - name: history
            relation: ref('bare')
            config:
              unique_key: customer_id
              strategy: timestamp
              updated_at: ordered_at
              meta:
                feature_view:
                  entities: {customer: customer_id}
                  features: []
    """,
    "seeds/seeds.yml": """
        seeds:
          - name: profiles
            config:
              meta:
                feature_view:
                  entities: {customer: customer_id}
                  features: [segment]
                  timeless: yes please
    """,
    "seeds/profiles.csv": "customer_id,segment\n1,a\n",
    "models/customers.sql": "",
    "models/orders_v1.sql": "",
    "models/orders_v2.sql": "",
    "models/bare.sql": "",
    "models/words.sql": "",
    "models/old/refunds.sql": "",
    "models/old/returns.sql": "",
    "models/in_sql.sql": "{{ config(event_time='ordered_at', meta={'feature_view': {'entities': 7}}) }}\n" + ROWS,
}


@pytest.fixture(scope="module")
def wrong(tmp_path_factory) -> BuiltProject:
    """A project with a mistake of every kind, as dbt parsed it."""
    project = write_project(tmp_path_factory.mktemp("wrong"), WRONG)
    project.dbt("--quiet", "parse")
    return project


BLOCK = "config.meta.feature_view"
PROBLEMS = [
    ("dbt_project.yml", "tll: 30d", f"{BLOCK}_defaults.tll"),
    ("dbt_project.yml", "ttl: soon", f"{BLOCK}_defaults.ttl"),
    ("models/bare.yml", "config:", "config.event_time"),
    ("models/bare.yml", "feature_view: {entities: {}}", f"{BLOCK}.entities"),
    ("models/bare.yml", 'feature_view: "yes"', BLOCK),
    ("models/bare.yml", 'meta: {label: "yes"}', "columns.spent.config.meta.label"),
    ("models/customers.yml", "entities: {customer: customer}", f"{BLOCK}.entities.customer"),
    ("models/customers.yml", "features: [spent, spend]", f"{BLOCK}.features"),
    ("models/customers.yml", "fearures: [spent]", f"{BLOCK}.fearures"),
    ("models/customers.yml", "onlin: false", f"{BLOCK}.onlin"),
    ("models/customers.yml", "lag: 1 hour", f"{BLOCK}.lag"),
    ("models/customers.yml", "ttl: 1 day", f"{BLOCK}.ttl"),
    ("models/customers.yml", "timezone: Mars/Base", f"{BLOCK}.timezone"),
    ("models/customers.yml", "feature: {defautl: 0}", "columns.spent.config.meta.feature.defautl"),
    ("models/customers.yml", 'online: "no"', f"{BLOCK}.online"),
    ("models/in_sql.sql", "", f"{BLOCK}.entities"),
    ("models/ml.yml", "type: dashboard", "type"),
    ("models/ml.yml", "full_name: true", "config.meta.feature_service.full_name"),
    ("models/ml.yml", "customers: [spent]", "config.meta.feature_service.features.customers"),
    ("models/ml.yml", "orders.v1: [spend]", "config.meta.feature_service.features.orders.v1"),
    ("models/ml.yml", "nobody: [spent]", "config.meta.feature_service.features.nobody"),
    ("seeds/seeds.yml", "timeless: yes please", f"{BLOCK}.timeless"),
    ("snapshots/history.yml", "features: []", f"{BLOCK}.features"),
]


def test_all_mistakes_in_all_files_are_told_at_once_each_with_its_line(wrong):
    exit_code, problems = check(wrong)
    assert placed(wrong, problems) == PROBLEMS
    warnings = [each for each in problems if each["severity"] == "warning"]
    assert [(each["key"], each["message"]) for each in warnings] == [
        (BLOCK, "is no mapping but 'yes', so there is no feature view"),
        ("columns.spent.config.meta.label", "is neither true nor false but 'yes', so it marks no label"),
        (
            "config.meta.feature_service.features.customers",
            "not checked, because the feature view customers is wrong itself",
        ),
    ]
    assert exit_code == 1


def test_a_line_can_be_clicked_and_the_sum_stands_on_stderr(wrong):
    done = wrong.feature_sync("check")
    assert done.returncode == 1
    assert done.stderr == "9 feature views, 1 feature service: 20 errors, 3 warnings\n"
    expected = (
        "models/customers.yml:12: error: model.shop.customers: config.meta.feature_view.lag: '1 hour' is no duration"
    )
    assert any(line.startswith(expected) for line in done.stdout.splitlines())
    assert len(done.stdout.splitlines()) == len(PROBLEMS)


def test_what_one_line_does_to_many_views_is_told_once(wrong):
    _, problems = check(wrong)
    (default,) = [each for each in problems if each["key"] == f"{BLOCK}_defaults.tll"]
    assert default["message"] == "unknown key; did you mean 'ttl'? (so it is for 1 more)"


def test_other_commands_end_at_the_first_mistake_as_one_line(wrong):
    done = wrong.feature_sync("list")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: models/bare.yml: model.shop.bare: config.event_time: is missing")


def test_from_another_folder_files_are_named_as_one_would_open_them_there(wrong):
    project = BuiltProject(wrong.folder.parent, "duckdb", {"DBT_PROFILES_DIR": str(wrong.folder)})
    done = project.feature_sync("check", "--project-dir", wrong.folder.name)
    assert f"{wrong.folder.name}/models/customers.yml:12: error: " in done.stdout
    elsewhere = BuiltProject(wrong.folder / "models", "duckdb").feature_sync(
        "check", "--project-dir", str(wrong.folder)
    )
    assert f"{wrong.folder}/seeds/seeds.yml:9: error: " in elsewhere.stdout or "seeds.yml" in elsewhere.stdout


def test_windows_line_ends_change_no_line(wrong, tmp_path):
    project = BuiltProject(shutil.copytree(wrong.folder, tmp_path / "copy"), "duckdb")
    for file in project.folder.rglob("*.yml"):
        stat = file.stat()
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert placed(project, check(project)[1]) == PROBLEMS


@pytest.mark.parametrize("content", [b"models: [", b"\xff\xfe\x00", b"models: 7", b"", None])
def test_a_file_that_no_longer_holds_the_node_costs_only_the_line(wrong, tmp_path, content):
    project = BuiltProject(shutil.copytree(wrong.folder, tmp_path / "copy"), "duckdb")
    file = project.folder / "snapshots" / "history.yml"
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
        os.utime(file, (0, 0))
    _, problems = check(project)
    (problem,) = [each for each in problems if each["file"] == "snapshots/history.yml"]
    assert (problem["line"], problem["key"]) == (None, f"{BLOCK}.features")
    assert len(problems) == len(PROBLEMS)
