"""The page that `feature-sync docs` writes for dbt's docs site, read by the real dbt."""

from __future__ import annotations

import json
import re
import shutil
import time
from urllib.parse import unquote

import pytest

from feature_sync import FeatureStore
from feature_sync.dbt.manifest import read_manifest
from feature_sync.dbt.registry import read_registry
from feature_sync.docs import docs_block
from feature_sync.docs.markdown import cell, code, quoted, table
from tests.support.projects import EXAMPLE, PROJECTS, BuiltProject, copy_project, own_copy

LINK = re.compile(r"\(#!/(\w+)/([^)]+)\)")
PAGE = "models/features.md"


@pytest.fixture(scope="module")
def parsed_shop(tmp_path_factory):
    """Two versions, groups, sources, a snapshot and an installed package, as dbt parses them."""
    folder = tmp_path_factory.mktemp("shop") / "shop"
    shutil.copytree(PROJECTS / "shop", folder)
    project = BuiltProject(folder, target="duckdb")
    project.dbt("--quiet", "deps")
    project.dbt("--quiet", "--warn-error", "parse")
    return project


@pytest.fixture
def shop(parsed_shop, tmp_path):
    shutil.copytree(parsed_shop.folder, tmp_path / "shop")
    return BuiltProject(tmp_path / "shop", target="duckdb")


@pytest.fixture(scope="module")
def shop_page(parsed_shop):
    done = parsed_shop.feature_sync("docs")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def section(page, title):
    """The lines below a heading, up to the next one."""
    return re.split(r"\n#{2,3} ", page.split(f"# [{title}]", 1)[1], maxsplit=1)[0]


def blocks(project):
    """All docs blocks that dbt found, by unique id."""
    manifest = json.loads((project.folder / "target" / "manifest.json").read_text())
    return {name: block["block_contents"] for name, block in manifest["docs"].items()}


def inlined_manifest(site):
    """Read the manifest that a static site holds: the first JSON document that says it is one."""
    begin = re.search(r'\{"metadata": \{"dbt_schema_version": "[^"]*/manifest/', site).start()
    return json.JSONDecoder().raw_decode(site, begin)[0]


def test_the_page_tells_all_that_the_example_defines(example):
    page = example.feature_sync("docs").stdout
    with FeatureStore.open(example.folder) as store:
        registry, manifest = store.registry, store.manifest
    assert all(f"\n### {entity}\n" in page for entity in registry.entities)
    for view in registry.feature_views.values():
        told = section(page, view.reference)
        for feature in view.features:
            column = view.relation.columns[feature.name]
            assert f"| `{feature.name}` | `{column.data_type}` |" in told
            assert " ".join(column.description.split()) in told
        assert all(f"/{test})" in told for test in manifest.tests_of(view.relation.unique_id))
        assert all(f"[{service.name}](#!/exposure/" in told for service in registry.consumers(view))
        assert ("(latest)" in page.split(f"# [{view.reference}]", 1)[1].splitlines()[0]) == (
            view.version is not None and view.latest_version
        )
    for service in registry.feature_services.values():
        told = section(page, service.name)
        assert service.owner.partition(" ")[0] in told
        assert all(f"`{name}`" in told for name in (*service.feature_names, *service.join_keys))
    weather = section(page, "airport_weather")
    assert "- **TTL:** 6h: an older row does not answer" in weather
    assert "- **Lag:** 1h: a row is available that long after its time" in weather
    assert "| `0` |" in section(page, "carrier_delays.v1")


def test_every_link_leads_to_a_page_of_the_static_site_which_opens_with_the_catalog(example, tmp_path):
    project = own_copy(example, tmp_path / "example")
    done = project.feature_sync("docs", "-o", "docs/catalog/overview.md")
    assert (done.returncode, done.stderr) == (0, "wrote docs/catalog/overview.md\n")
    project.dbt("--quiet", "docs", "generate", "--static")
    site = (project.folder / "target" / "static_index.html").read_text()
    manifest = inlined_manifest(site)
    page = manifest["docs"]["doc.feature_sync.__overview__"]["block_contents"]
    assert page.startswith("# Features of feature_sync")
    pages = set().union(*(manifest[kind] for kind in ("nodes", "sources", "exposures", "unit_tests")))
    links = LINK.findall(page)
    assert {kind for kind, _ in links} >= {"model", "exposure", "test", "unit_test"}
    assert [name for _, name in links if unquote(name) not in pages] == []
    assert [name for kind, name in links if not name.startswith(f"{kind}.")] == []
    assert manifest["docs"].keys() == {"doc.feature_sync.__overview__", "doc.dbt.__overview__"}


def test_the_same_definitions_give_the_same_bytes_and_no_time(shop, shop_page):
    shop.dbt("--quiet", "parse", "--no-partial-parse")
    assert shop.feature_sync("docs").stdout == shop_page
    assert not re.search(r"20[012]\d-\d\d", shop_page)


def test_versions_stand_side_by_side_with_the_latest_and_the_deprecated_marked(shop_page):
    assert "### [orders.v1](#!/model/model.shop.orders.v1) (deprecated from 2099-01-31)\n" in shop_page
    assert "### [orders.v2](#!/model/model.shop.orders.v2) (latest)\n" in shop_page
    entities = section(shop_page.replace("### customer", "### [customer]"), "customer")
    names = re.findall(r"^\| \[([^\]]+)\]", entities, re.MULTILINE)
    assert names == ["addresses", "orders.v1", "orders.v2", "orders.v10", "points"]


def test_owners_are_those_of_the_dbt_group_of_meta_and_of_the_exposure(shop_page):
    assert "**Owner:** [Growth &amp; &lt;more&gt;](mailto:growth@example.com)" in section(shop_page, "orders.v2")
    assert "**Owner:** Customer care\n" in section(shop_page, "addresses")
    assert "**Owner:**" not in section(shop_page, "points")
    assert "**Owner:** [Finance](mailto:finance@example.com)" in section(shop_page, "spend_model")
    used = "**Used by:** [spend_model](#!/exposure/exposure.shop.spend_model) of Finance (2 of 2 features)"
    assert used in section(shop_page, "orders.v1")


def test_the_freshness_of_upstream_sources_is_told(shop_page):
    fresh = "[raw.orders](#!/source/source.shop.raw.orders) warns when older than 12 hours, fails when older than 1 day"
    assert f"**Freshness:** {fresh}\n" in section(shop_page, "orders.v2")
    assert "addresses) declares no freshness\n" in section(shop_page, "addresses")
    assert "**Freshness:**" not in section(shop_page, "points")


def test_a_test_stands_beside_its_feature_and_others_at_the_view(shop_page):
    told = section(shop_page, "orders.v2")
    (amount,) = (line for line in told.splitlines() if line.startswith("| `amount`"))
    assert "[not_null](#!/test/test.shop.not_null_orders_v2_amount." in amount
    assert "[accepted_values (values: 1, 2)](#!/test/test.shop.odd_%28name%29_of_gr%C3%B6%C3%9Fe." in amount
    assert "**Data tests:** [customer not_null](#!/test/test.shop.not_null_orders_v2_customer." in told
    assert "**Unit tests:** [each_order_is_a_row](#!/unit_test/unit_test.shop.orders.each_order_is_a_row_v2)" in told
    assert "**Unit tests:**" not in section(shop_page, "orders.v1")


def test_snapshots_and_views_of_installed_packages_are_told_like_others(shop_page):
    told = section(shop_page, "addresses")
    assert told.startswith("(#!/snapshot/snapshot.shop.addresses)\n")
    assert "(event timestamp `dbt_valid_from`, valid to `dbt_valid_to`)" in told
    assert "**Online:** no: never pushed to Redis" in told
    assert section(shop_page, "points").startswith("(#!/model/model.loyalty.points)\n")
    service = section(shop_page, "spend_model")
    assert "| [addresses](#!/snapshot/snapshot.shop.addresses) as `home` | `buyer` | `town` |" in service
    assert "`orders__amount`" in section(shop_page, "churn_model")  # full_names: true


def test_whatever_descriptions_hold_dbt_reads_the_page_and_shows_it_as_meant(shop):
    assert shop.feature_sync("docs", "-o", PAGE).returncode == 0
    shop.dbt("--quiet", "--warn-error", "parse", "--no-partial-parse")
    page = blocks(shop)["doc.shop.__overview__"]
    told = section(page, "orders.v2")
    assert "> **Orders | of a customer**\n>\n> ```sql\n> # a fence that nobody closes: {% enddocs %}\n> ```\n\n" in told
    assert "| What was paid, in EUR&#124;USD; {{ ref('x') }} and {# this &#124; that #}. |" in told
    assert "| none &#124; at all |" in told
    assert page.endswith("| `points` |")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("a | b", "a &#124; b", id="a pipe, which no backslash hides from dbt's site"),
        pytest.param("`a` and `b|c`", "`a` and b&#124;c", id="a pipe in code, where an entity would show as such"),
        pytest.param("one\n\n- two\n- three", "one - two - three", id="several lines"),
        pytest.param("see [docs](https://example.com)", "see [docs](https://example.com)", id="Markdown stays"),
    ],
)
def test_any_description_fits_into_a_cell(text, shown):
    assert cell(text) == shown


def test_columns_that_hold_nothing_are_left_out_of_a_table():
    assert table(["a", "b", "c"], [["1", "", "3"], ["", "", "4"]]) == "| a | c |\n| --- | --- |\n| 1 | 3 |\n|  | 4 |"


def test_a_name_is_shown_as_it_is():
    assert [code(name) for name in ("a_b", "a|b", "a`b_", "")] == ["`a_b`", "a&#124;b", "a\\`b\\_", ""]


def test_a_quotation_keeps_code_and_tames_headings():
    assert (
        quoted("# Title #\n\n```\n# comment\n```\n## Next") == "> **Title**\n>\n> ```\n> # comment\n> ```\n> **Next**"
    )


def test_check_tells_whether_the_file_is_fresh(shop):
    missing = shop.feature_sync("docs", "-o", PAGE, "--check")
    assert (missing.returncode, missing.stdout) == (3, "")
    assert missing.stderr == f"{PAGE} is missing; run the same command without --check\n"
    assert shop.feature_sync("docs", "-o", PAGE).stderr == f"wrote {PAGE}\n"
    fresh = shop.feature_sync("docs", "-o", PAGE, "--check")
    assert (fresh.returncode, fresh.stderr) == (0, f"{PAGE} is up to date\n")
    definitions = shop.folder / "models" / "shop.yml"
    definitions.write_text(definitions.read_text().replace("ttl: 30d", "ttl: 31d"))
    shop.dbt("--quiet", "parse")
    stale = shop.feature_sync("docs", "-o", PAGE, "--check")
    assert (stale.returncode, stale.stderr) == (3, f"{PAGE} is stale; run the same command without --check\n")
    unnamed = shop.feature_sync("docs", "--check")
    assert (unnamed.returncode, unnamed.stderr) == (1, "Error: --check compares a file: name it with --output\n")


def test_an_overview_of_the_projects_own_is_kept_and_the_cure_works(shop):
    own = shop.folder / "models" / "welcome.md"
    own.write_text("{% docs __overview__ %}Welcome{% enddocs %}\n")
    shop.dbt("--quiet", "parse")
    refused = shop.feature_sync("docs", "-o", PAGE)
    assert (refused.returncode, (shop.folder / PAGE).exists()) == (1, False)
    assert "models/welcome.md already has a docs block called __overview__" in refused.stderr
    assert "--name feature_catalog" in refused.stderr
    assert "{{ doc('feature_catalog') }}" in refused.stderr
    over = shop.feature_sync("docs", "-o", "models/welcome.md")
    assert (over.returncode, own.read_text()) == (1, "{% docs __overview__ %}Welcome{% enddocs %}\n")
    assert "models/welcome.md was not written by feature-sync docs" in over.stderr
    assert shop.feature_sync("docs", "-o", PAGE, "--name", "feature_catalog").returncode == 0
    shop.dbt("--quiet", "--warn-error", "parse")
    assert blocks(shop)["doc.shop.__overview__"] == "Welcome"
    own.unlink()
    assert shop.feature_sync("docs", "-o", "models/other.md").returncode == 0  # the manifest knows no better yet


def test_a_description_that_shows_the_catalog_does_not_stand_in_it_again(shop):
    assert shop.feature_sync("docs", "-o", PAGE, "--name", "feature_catalog").returncode == 0
    definitions = shop.folder / "models" / "shop.yml"
    definitions.write_text(definitions.read_text().replace("Who will leave?", "\"{{ doc('feature_catalog') }}\""))
    shop.dbt("--quiet", "parse")
    assert shop.feature_sync("docs", "-o", PAGE, "--name", "feature_catalog").returncode == 0
    written = (shop.folder / PAGE).read_text()
    assert "Who will leave?" not in written
    shop.dbt("--quiet", "parse")
    again = shop.feature_sync("docs", "-o", PAGE, "--name", "feature_catalog", "--check")
    assert (again.returncode, written.count("# Features of shop")) == (0, 1)


def test_a_file_that_dbt_does_not_read_is_written_with_a_warning(shop):
    folders = "models, seeds, snapshots, analyses, macros, tests, functions"
    for place in ("wiki/features.md", "models/features.markdown"):
        done = shop.feature_sync("docs", "-o", place)
        assert (done.returncode, (shop.folder / place).exists()) == (0, True)
        assert done.stderr == (
            f"Warning: dbt will not see {place}: it reads docs blocks from .md files in {folders}\nwrote {place}\n"
        )
    settings = shop.folder / "dbt_project.yml"
    settings.write_text(settings.read_text() + "docs-paths: [wiki]\n")
    shop.dbt("--quiet", "parse")
    assert shop.feature_sync("docs", "-o", "wiki/features.md").stderr == "wrote wiki/features.md\n"


def test_an_overview_in_an_installed_package_is_named_because_the_site_would_show_that(shop):
    for package in (shop.folder / "packages", shop.folder / "dbt_packages"):
        (package / "loyalty" / "models" / "hello.md").write_text("{% docs __overview__ %}Hello{% enddocs %}\n")
    shop.dbt("--quiet", "parse")
    done = shop.feature_sync("docs", "-o", PAGE)
    assert done.returncode == 0
    assert "the package loyalty has a docs block __overview__ too" in done.stderr


def test_a_name_that_dbt_does_not_allow_is_refused(shop):
    done = shop.feature_sync("docs", "--name", "my-catalog")
    assert done.returncode == 1
    assert "no docs block can be called 'my-catalog'" in done.stderr


def test_a_project_without_services_or_groups_or_views_gets_a_page_that_says_so(tmp_path):
    project = BuiltProject(copy_project(PROJECTS / "plain", tmp_path / "plain"), target="duckdb")
    project.dbt("--quiet", "parse")
    nothing = project.feature_sync("docs")
    assert (nothing.returncode, nothing.stderr) == (0, "")
    assert "No feature view yet: a dbt model with `config.meta.feature_view` makes one." in nothing.stdout
    shutil.copy(PROJECTS / "plain" / "features.yml", project.folder / "models" / "models.yml")
    project.dbt("--quiet", "parse")
    page = project.feature_sync("docs").stdout
    assert "2 features in 1 feature view, which describes 1 entity; 0 feature services." in page
    assert "None yet: a dbt exposure of `type: ml` makes one." in page
    assert "| `order_count` |" in section(page, "customer_orders")


def test_the_examples_catalog_reaches_no_project_that_installs_the_package(tmp_path):
    package = copy_project(EXAMPLE, tmp_path / "package")
    (package / "docs" / "catalog").mkdir(parents=True)
    (package / "docs" / "catalog" / "overview.md").write_text("{% docs __overview__ %}Flights{% enddocs %}\n")
    project = BuiltProject(copy_project(PROJECTS / "plain", tmp_path / "plain"), target="duckdb")
    (project.folder / "packages.yml").write_text("packages: [{local: ../package}]\n")
    project.dbt("--quiet", "deps")
    project.dbt("--quiet", "--warn-error", "parse")
    assert blocks(project).keys() == {"doc.dbt.__overview__"}


def test_fifty_views_with_two_thousand_features_take_less_than_a_second(tmp_path):
    columns = {
        f"c{at}": {"name": f"c{at}", "data_type": "double", "description": "What it tells. " * 5} for at in range(40)
    }
    nodes, children = {}, {}
    for at in range(50):
        view = f"model.shop.view_{at}"
        settings = {"entities": {"customer": "key"}, "features": [*columns], "timeless": True}
        nodes[view] = {
            "unique_id": view,
            "name": f"view_{at}",
            "resource_type": "model",
            "relation_name": f"view_{at}",
            "columns": columns,
            "config": {"meta": {"feature_view": settings}},
        }
        children[view] = [f"test.shop.{name}_{view}" for name in columns]
        nodes |= {
            f"test.shop.{name}_{view}": {
                "resource_type": "test",
                "column_name": name,
                "attached_node": view,
                "test_metadata": {"name": "not_null", "kwargs": {"column_name": name}},
            }
            for name in columns
        }
    path = tmp_path / "manifest.json"
    schema = "https://schemas.getdbt.com/dbt/manifest/v12.json"
    path.write_text(json.dumps({"metadata": {"dbt_schema_version": schema}, "nodes": nodes, "child_map": children}))
    began = time.process_time()
    manifest = read_manifest(path)
    page = docs_block(read_registry(manifest, project="shop", catalog=tmp_path / "catalog.json"), manifest)
    assert time.process_time() - began < 1
    assert page.count("[not_null](#!/test/") == 2_000
