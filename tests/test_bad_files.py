"""Files that people, editors and attackers leave: each is one line that names file and key, and quotes no secret."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import pytest
import yaml

from feature_sync.dbt.catalog import read_catalog
from feature_sync.dbt.profile import read_target
from feature_sync.dbt.project import Project, read_project
from feature_sync.dbt.run_results import Gate
from feature_sync.errors import FeatureSyncError
from feature_sync.store import FeatureStore, Options
from feature_sync.warehouses.bigquery.settings import BigQuerySettings
from feature_sync.warehouses.duckdb.settings import DuckDBSettings
from feature_sync.warehouses.postgres.settings import PostgresSettings

PROJECT = "name: shop\nprofile: shop\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]\n"
    for below, name in zip("abcdefghij", "bcdefghijk", strict=True)
)


@pytest.fixture
def project(tmp_path) -> Project:
    (tmp_path / "dbt_project.yml").write_text(PROJECT)
    return read_project(str(tmp_path))


def refused(read, *words: str) -> str:
    """Check that what is read raises one line of ours, with these words."""
    with pytest.raises(FeatureSyncError) as raised:
        read()
    text = str(raised.value)
    assert "\n" not in text
    for word in words:
        assert word in text
    return text


def read_profile(project: Project, value: object, **variables: object):
    """Read a profile whose password is a value."""
    outputs = {"dev": {"type": "postgres", "password": value}}
    content = {"shop": {"target": "dev", "outputs": outputs}}
    (project.directory / "profiles.yml").write_text(yaml.safe_dump(content, allow_unicode=True))
    return read_target(project, profiles_dir=str(project.directory)).settings["password"]


# YAML


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("vars: {day: 2024-13-45}", ["line 1: vars.day", "timestamp"], id="a date that is none"),
        pytest.param("vars: {day: 2024-01-01T00:00:00+99:99}", ["vars.day", "timestamp"], id="a zone that is none"),
        pytest.param(f"vars: {{n: {'9' * 5000}}}", ["vars.n", "digits"], id="a number of 5,000 digits"),
        pytest.param(f"vars: {{n: 0x{'f' * 5000}}}", ["vars.n", "digits"], id="as many in base 16"),
        pytest.param(f"vars: {{n: 1{':1' * 90_000}}}", ["vars.n", "digits"], id="90,000 in base 60"),
        pytest.param("vars: {n: !!int x}", ["vars.n", "type int"], id="a text tagged as a number"),
        pytest.param("vars: {n: !!bool x}", ["vars.n", "type bool"], id="a text tagged as a boolean"),
        pytest.param('vars: {n: !!int ""}', ["vars.n", "type int"], id="nothing tagged as a number"),
        pytest.param("vars: {n: !!int {=: x}}", ["vars.n", "tag"], id="a mapping tagged as a number"),
        pytest.param("vars: &a {b: *a}", ["vars", "stands inside"], id="a cycle of aliases"),
        pytest.param(BOMB, ["200,000 values"], id="a billion laughs"),
        pytest.param(f"a: &a {'x' * 90_000}\nb: [{'*a,' * 90_000}]", ["200,000 values"], id="a long text many times"),
        pytest.param(f"vars: {'[' * 100_000}", ["vars", "100 levels"], id="deep brackets"),
        pytest.param(f"vars: {'{a: ' * 100_000}", ["vars", "100 levels"], id="deep braces"),
        pytest.param("".join(f"{' ' * at}a:\n" for at in range(2_000)), ["100 levels"], id="deep indentation"),
        pytest.param(f"vars: [{'a,' * 300_000}]", ["vars", "200,000 values"], id="more values than a person writes"),
        pytest.param(f"vars: {'x' * 5_000_000}", ["4 MB"], id="a file larger than a person writes"),
        pytest.param("vars:\n\ta: 1", ["line 2: vars"], id="a tab"),
        pytest.param("vars: \xff", ["line 1", "UTF-8"], id="another encoding"),
        pytest.param("vars: 1\nb: \x01", ["line 2", "control character"], id="a control character"),
        pytest.param("? [a]\n: b", ["line 1", "unhashable key"], id="a list for a key"),
        pytest.param("<<: 5", ["line 1", "merging"], id="a number merged"),
        pytest.param("a: 1\n---\nb: 2", ["another document"], id="two documents"),
        pytest.param("- a", ["does not hold a YAML mapping"], id="a list"),
        pytest.param("", ["does not hold a YAML mapping"], id="nothing"),
    ],
)
def test_yaml_out_of_bounds_is_one_line_with_file_line_and_key(tmp_path, text, words):
    (tmp_path / "dbt_project.yml").write_bytes(text.encode("latin-1"))
    refused(lambda: read_project(str(tmp_path)), "dbt_project.yml", *words)


def test_a_byte_order_mark_a_repeated_key_and_aliases_in_reason_are_read_as_dbt_reads_them(tmp_path):
    text = "\ufeffname: first\nname: shop\nvars: {a: &a {b: [1, 2]}, c: *a, d: {<<: *a, e: 1}}"
    (tmp_path / "dbt_project.yml").write_text(text)
    project = read_project(str(tmp_path))
    same = {"b": [1, 2]}
    assert (project.name, project.variables) == ("shop", {"a": same, "c": same, "d": {**same, "e": 1}})


@pytest.mark.parametrize("start", ["*", "!", "%", "&x &", "@", "`", "'", '"\\q', "[x, @", "{", ">x "])
def test_a_secret_that_breaks_yaml_is_never_quoted(project, start):
    """A password that is not in quotation marks may be an alias, an anchor, a tag or a directive."""
    file = project.directory / "profiles.yml"
    file.write_text(f"shop:\n  outputs:\n    default:\n      type: postgres\n      password: {start}hunter2\n")
    text = refused(lambda: read_target(project, profiles_dir=str(file.parent)), "profiles.yml", "shop.outputs.default")
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("name", "[a]", "name: must be a text"),
        ("name", "true", "name: must be a text"),
        ("name", "''", "name is missing"),
        ("profile", "{a: b}", "profile: must be a text"),
        ("model-paths", "models", "model-paths: must be a list of folders"),
        ("model-paths", "[1]", "model-paths: must be a list of folders"),
        ("snapshot-paths", '["a\\0"]', "snapshot-paths: must be a list of folders"),
        ("docs-paths", "7", "docs-paths: must be a list of folders"),
        ("target-path", '"a\\0"', "target-path: must be a text"),
        ("packages-install-path", "[a]", "packages-install-path: must be a text"),
        ("vars", "[1]", "vars: must be a mapping of names to values"),
    ],
)
def test_a_project_key_of_another_type_is_named(tmp_path, key, value, words):
    said = {"name": "shop", "profile": "shop"}
    (tmp_path / "dbt_project.yml").write_text("".join(f"{k}: {v}\n" for k, v in (said | {key: value}).items()))
    refused(lambda: read_project(str(tmp_path)), "dbt_project.yml", words)


# Profiles


def test_names_that_yaml_reads_as_numbers_or_dates_are_names(tmp_path):
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: 2024\n")
    (tmp_path / "profiles.yml").write_text("2024: {target: 1, outputs: {1: {type: duckdb, 7: x}, 2: {}}}\nother: {}\n")
    target = read_target(read_project(str(tmp_path)), profiles_dir=str(tmp_path))
    assert (target.profile, target.name, target.settings) == ("2024", "1", {"type": "duckdb", "7": "x"})
    read = lambda **chosen: read_target(read_project(str(tmp_path)), profiles_dir=str(tmp_path), **chosen)  # noqa: E731
    refused(lambda: read(profile="2025"), "no profile is called '2025'", "did you mean '2024'?")
    refused(lambda: read(target="3"), "2024: no target is called '3'")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("shop: {outputs: [a]}", "shop: outputs is missing"),
        ("shop: [a]", "no profile is called 'shop'"),
        ("shop: {outputs: {default: 5}}", "shop: no target is called 'default'"),
        ("shop: {target: [a], outputs: {a: {}}}", "shop.target: must be a text"),
        ("shop: {target: '{{ 1/0 }}', outputs: {a: {}}}", "shop.target: cannot be evaluated (ZeroDivisionError)"),
        ("shop: {outputs: {default: {list: [{a: '{{ 1/0 }}'}]}}}", "shop.outputs.default.list.0.a: cannot"),
    ],
)
def test_a_profile_of_another_shape_is_named_by_its_key(project, content, words):
    (project.directory / "profiles.yml").write_text(content)
    refused(lambda: read_target(project, profiles_dir=str(project.directory)), "profiles.yml", words)


@pytest.mark.parametrize(
    "text",
    [
        "hunter2{{",
        "{{hunter2}}",
        "x{{ hunter2 }}y",
        "{{ hunter2.hunter2 }}",
        "{{ 'hunter2' | hunter2 }}",
        "{% hunter2 %}",
        "{{ a hunter2 }}",
        "{{ 'hunter2' | as_number }}",
        "{{ 'hunter2' | as_bool }}",
        "{{ 'hunter2' + 1 }}",
        "{{ 'hunter2'.nope }}",
        "{{ {}['hunter2'] }}",
        "{{ 'hunter2'.format() }}",
    ],
)
def test_a_secret_that_is_no_jinja_is_never_quoted(project, text):
    line = refused(lambda: read_profile(project, text), "profiles.yml: shop.outputs.dev.password: ")
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "text",
    [
        "{{ 1/0 }}",
        "{{ env_var() }}",
        "{{ env_var(1, 2) }}",
        "{{ env_var('a', 'b', 'c') }}",
        "{{ env_var('\\ud800') }}",
        "{{ range(1e9) }}",
        "{% for i in [1, 2] %}x{% endfor %}",
        "{% set a = 'x' %}{{ a }}",
        "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
        "{% include 'profiles.yml' %}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ 'a' * 10000000000 }}",
        "{{ 10000000000 * 'a' }}",
        "{{ [1] * 1000000000 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ 'a'.ljust(1000000000) }}",
        "{{ 'a' | center(1000000000) }}",
        "{{ 1.5 | round(1000000000, 'ceil') }}",
        "{{ env_var('BIG') | replace('', env_var('BIG')) }}",
        "{{ env_var('BIG').replace('', env_var('BIG')) }}",
        "{{ env_var('BIG') | join(env_var('BIG')) }}",
        "{{ env_var('BIG').join(env_var('BIG')) }}",
        "{{ env_var('BIG')" + " ~ env_var('BIG')" * 20 + " }}",
        "{{ 'a" + "%" * 50 + "'" + " | urlencode" * 45 + " | replace('%', '%%')" * 3 + " | tojson" * 500 + " }}",
        "{{ lipsum(1000000) }}",
        "{{ " + "(" * 4000 + "1" + ")" * 4000 + " }}",
        "{{ " + "not " * 4000 + "1 }}",
        "{{ 1" + " + 1" * 4000 + " }}",
        "{{ " + "9" * 5000 + " }}",
        "{{ (1e300 * 1e300) | int }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ env_var.__globals__ }}",
        "{{ " + "1 ~ " * 40_000 + "1 }}",
    ],
)
def test_jinja_out_of_bounds_is_one_line_that_names_the_key(project, monkeypatch, text):
    monkeypatch.setenv("BIG", "x" * 100_000)
    refused(lambda: read_profile(project, text), "profiles.yml: shop.outputs.dev.password: ")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ env_var('PORT') | as_number }}", 5432),
        ("{{ env_var('PORT') | int + 1 }}", "5433"),
        ("{{ env_var('NO_SUCH_PORT', '1') | as_number }}", 1),
        ("{{ env_var(var='NO_SUCH_PORT', default='x') | upper | replace('X', 'y') }}", "y"),
        ("{{ env_var('FLAG') | as_bool }}", True),
        ("{{ '[1, 2]' | as_native }}", [1, 2]),
        ("{{ '" + "[" * 5000 + "' | as_native }}", "[" * 5000),
        ("{{ 'a' if env_var('FLAG') == 'True' else 'b' }}-{{ 'x' * 3 }}", "a-xxx"),
        ("{% if env_var('FLAG') | as_bool %}yes{% else %}no{% endif %}", "yes"),
        ("{{ var('place').host.strip() ~ '/' ~ var('place')['name'].split('_')[0] }}", "here/a"),
        ("{{ env_var('SECRET') }}", "a{{b"),
        ("{% raw %}a{{b{% endraw %}", "a{{b"),
    ],
)
def test_the_jinja_that_people_write_works(project, monkeypatch, text, value):
    for name, content in {"PORT": "5432", "FLAG": "True", "SECRET": "a{{b"}.items():
        monkeypatch.setenv(name, content)
    (project.directory / "dbt_project.yml").write_text(f"{PROJECT}vars: {{place: {{host: ' here ', name: a_b}}}}")
    assert read_profile(read_project(str(project.directory)), text) == value


def test_no_password_is_in_a_repr(project):
    secret = "hunter2"
    read_profile(project, secret)
    target = read_target(project, profiles_dir=str(project.directory))
    fields = {"host": "a", "user": "b", "password": secret, "pass_": secret}
    shown = [
        target,
        Options(redis_url=f"redis://:{secret}@localhost"),
        PostgresSettings(**fields),
        DuckDBSettings(path=f"md:?token={secret}", settings={"s3_secret_access_key": secret}),
        BigQuerySettings(method="oauth-secrets", token=secret, keyfile_json={"private_key": secret}),
    ]
    assert secret not in repr(shown)


# Folders of sources


def test_a_dangling_link_an_unreadable_folder_and_a_loop_of_links_are_passed_over(tmp_path):
    (tmp_path / "dbt_project.yml").write_text(PROJECT)
    models = tmp_path / "models"
    (models / "below").mkdir(parents=True)
    manifest = tmp_path / "manifest.json"
    manifest.touch()
    (models / ".#orders.yml").symlink_to("anna@laptop.4711:1700000000")
    (models / "loop.sql").symlink_to("loop.sql")
    (models / "below" / "up").symlink_to(models, target_is_directory=True)
    newer = models / "below" / "orders.sql"
    newer.touch()
    os.utime(newer, (2e9, 2e9))
    project = read_project(str(tmp_path))
    assert project.newer_sources(manifest) == ["models/below/orders.sql"]
    assert read_project(str(tmp_path)).newer_sources(Path("nowhere")) == ["models/below/orders.sql"]


def test_sources_outside_of_the_project_are_named_as_a_person_finds_them_from_it(tmp_path):
    shared, folder = tmp_path / "shared", tmp_path / "project"
    shared.mkdir()
    folder.mkdir()
    (shared / "orders.sql").touch()
    (folder / "dbt_project.yml").write_text(f'{PROJECT}model-paths: ["{shared}"]\n')
    (folder / "manifest.json").touch()
    os.utime(folder / "manifest.json", (0, 0))
    assert read_project(str(folder)).newer_sources(folder / "manifest.json") == ["../shared/orders.sql"]


# What dbt wrote


@pytest.fixture
def built(example, tmp_path) -> Path:
    """The example's artifacts and sources, as far as they can be read without a warehouse; old, so that none waits."""
    shutil.copytree(example.folder / "models", tmp_path / "models")
    shutil.copy(example.folder / "dbt_project.yml", tmp_path)
    (tmp_path / "target").mkdir()
    for name in ("manifest.json", "run_results.json"):
        put(tmp_path / "target" / name, (example.folder / "target" / name).read_bytes())
    return tmp_path


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    os.utime(path, (1e9, 1e9))


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    put(path, json.dumps(content).encode())


def read(folder: Path, name: str = "manifest.json") -> None:
    """Read what a command reads of one of dbt's files."""
    with FeatureStore.open(folder) as store:
        if name == "run_results.json":
            Gate(store.project.dbt.run_results, store.manifest)
        if name == "catalog.json":
            read_catalog(store.project.dbt.catalog, store.manifest)
        assert store.check().errors == 0
        assert store.registry.feature_views
        assert store.docs_block()
        store.get_training_set("departure_delay_model", "departures")


def constraint_of_mappings(manifest) -> None:
    node = manifest["nodes"]["model.feature_sync.airport_weather"]
    node["config"]["materialized"] = "table"
    node["constraints"] = [{"type": "primary_key", "columns": [{"name": "airport"}, "observed_at"]}]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda manifest: manifest["nodes"].update({"model": {"name": "model"}}), id="an id without a dot"),
        pytest.param(lambda manifest: manifest["nodes"].update({"": {}, "a.": {}, ".": {}}), id="ids of nothing"),
        pytest.param(lambda manifest: manifest["docs"].update({"__overview__": {}}), id="a docs block's without a dot"),
        pytest.param(constraint_of_mappings, id="a mapping among a constraint's columns"),
        pytest.param(
            lambda manifest: manifest["nodes"]["model.feature_sync.airport_weather"]["config"].update(
                indexes=[{"columns": [["airport"]]}, {"columns": "airport"}, 7], unique_key=[{}], freshness=[1]
            ),
            id="settings of other types, which other adapters may have",
        ),
        pytest.param(
            lambda manifest: [
                each.update(test_metadata={"name": ["unique"], "kwargs": ["x"]})
                for name, each in manifest["nodes"].items()
                if name.startswith("test.") and "airport_weather" in name
            ],
            id="tests that say nothing of themselves",
        ),
    ],
)
def test_what_is_odd_in_a_manifest_and_none_of_ours_is_passed_over(built, change):
    edit(built / "target" / "manifest.json", change)
    read(built)


def deep(levels: int = 5_000) -> bytes:
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("manifest.json", b'"macros": {', b'"macros": {"a": {"meta": ' + deep() + b"}, ", "nests deeper"),
        ("manifest.json", b'"feature_view": {', b'"feature_view": {"a": ' + deep() + b", ", "nests deeper"),
        (
            "manifest.json",
            b'"seed.feature_sync.weather": {',
            b'"seed.feature_sync.weather": {"name": "\xff", ',
            "truncated",
        ),
        ("manifest.json", b'"name": "airport_weather"', b'"name": "airport_\xff"', "truncated"),
        (
            "manifest.json",
            b'"name": "airport_weather"',
            b'"name": ["airport_weather"]',
            "airport_weather is not what dbt",
        ),
        ("manifest.json", b'"metadata": {', b'"metadata": 7, "x": {', "$.metadata"),
        ("run_results.json", b'"args": {', b'"args": {"a": ' + deep() + b", ", "nests deeper"),
        ("run_results.json", b'"status": "success"', b'"status": "\xff"', "truncated"),
        ("run_results.json", b'"results": [', b'"results": [7, ', "$.results[0]"),
        (
            "catalog.json",
            b'"nodes": {',
            b'"nodes": {"a": {"columns": {"b": {"type": ' + deep() + b"}}}, ",
            "nests deeper",
        ),
        ("catalog.json", b'"nodes": {', b'"nodes": {"\xff": 1, ', "truncated"),
        ("catalog.json", b'"nodes": {', b'"nodes": {"a": 1, ', "$.nodes[...]"),
        ("catalog.json", b'"nodes": {', b"", "truncated"),
    ],
)
def test_an_artifact_that_cannot_be_read_is_named(built, name, old, new, words):
    path = built / "target" / name
    content = b'{"metadata": {}, "nodes": {}}' if name == "catalog.json" else path.read_bytes()
    assert old in content
    put(path, content.replace(old, new))
    refused(lambda: read(built, name), name, words)


@pytest.mark.parametrize("name", ["manifest.json", "run_results.json", "catalog.json"])
def test_a_file_that_dbt_is_writing_is_awaited(built, name):
    path = built / "target" / name
    whole = b'{"metadata": {}, "nodes": {}}' if name == "catalog.json" else path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    written = threading.Timer(0.3, path.write_bytes, [whole])
    written.start()
    read(built, name)
    written.join()
