"""Projects of which only manifests exist, in two states, and what a plan says of the difference."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from feature_sync import FeatureStore
from feature_sync.plan import Plan, Verdict

STAGED = """
select customer, placed_at, price, quantity, country
from "raw"."shop"."events"
where price is not null and quantity > 0
"""
ORDERS = """
with recent as (
    select customer, placed_at, price, country from "prod"."main"."staged" where price > 1
)
select
    recent.customer,
    recent.placed_at,
    count(*) as n,
    sum(recent.price) as total,
    max(countries.name) as country
from recent
left join "prod"."main"."countries" as countries on recent.country = countries.code
group by recent.customer, recent.placed_at
"""
SPEND = 'select customer, placed_at, price * quantity as amount, quantity from "prod"."main"."staged"'
DEDUPED = """
select customer, placed_at, price as last_price from (
    select customer, placed_at, price, row_number() over (partition by customer order by placed_at desc) as place
    from "prod"."main"."staged"
) as ranked
where place = 1
"""


def node(name: str, sql: str | None, parents: list[str], **more: Any) -> dict[str, Any]:
    return {
        "unique_id": f"model.shop.{name}",
        "name": name,
        "resource_type": "model",
        "package_name": "shop",
        "language": "sql",
        "original_file_path": f"models/{name}.sql",
        "relation_name": f'"prod"."main"."{name}"',
        "schema": "main",
        "raw_code": sql,
        "compiled_code": sql,
        "depends_on": {"nodes": parents, "macros": []},
        "config": {"materialized": "table"},
        "columns": {},
        **more,
    }


def view(name: str, sql: str, parents: list[str], features: list[str], **settings: Any) -> dict[str, Any]:
    block = {"entities": {"customer": "customer"}, "features": features, "ttl": "7d", **settings}
    config = {"materialized": "table", "event_time": "placed_at", "meta": {"feature_view": block}}
    return node(name, sql, parents, config=config)


def base() -> dict[str, Any]:
    """A source and a seed, a model above three feature views, and two feature services."""
    staged, countries = "model.shop.staged", "seed.shop.countries"
    nodes = [
        node("staged", STAGED, ["source.shop.shop.events"]),
        view("orders", ORDERS, [staged, countries], ["n", "total", "country"]),
        view("spend", SPEND, [staged], ["amount", "quantity"]),
        view("deduped", DEDUPED, [staged], ["last_price"]),
        {
            "unique_id": countries, "name": "countries", "resource_type": "seed", "package_name": "shop",
            "relation_name": '"prod"."main"."countries"', "schema": "main", "config": {"materialized": "seed"},
            "checksum": {"name": "sha256", "checksum": "a" * 64},
        },
    ]  # fmt: skip
    return {
        "metadata": {
            "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
            "adapter_type": "duckdb",
            "project_name": "shop",
        },
        "nodes": {each["unique_id"]: each for each in nodes},
        "sources": {
            "source.shop.shop.events": {
                "unique_id": "source.shop.shop.events", "name": "events", "resource_type": "source",
                "relation_name": '"raw"."shop"."events"', "schema": "shop", "identifier": "events",
                "package_name": "shop",
            },
        },
        "exposures": {
            name: service(name, features)
            for name, features in {"churn": {"orders": ["n", "total"]}, "value": {"spend": ["amount"]}}.items()
        },
        "macros": {},
    }  # fmt: skip


def service(name: str, features: dict[str, Any], **settings: Any) -> dict[str, Any]:
    views = [each["view"] if isinstance(each, dict) else alias for alias, each in features.items()]
    return {
        "unique_id": f"exposure.shop.{name}",
        "name": name,
        "resource_type": "exposure",
        "type": "ml",
        "original_file_path": "models/services.yml",
        "depends_on": {"nodes": [f"model.shop.{each}" for each in views]},
        "config": {"meta": {"feature_service": {"features": features, **settings}}},
    }


def plan_of(folder: Path, old: dict[str, Any], new: dict[str, Any], **request: Any) -> Plan:
    """Plan the way from one manifest to another."""
    for state, manifest in (("target", new), ("state", old)):
        (folder / state).mkdir(parents=True, exist_ok=True)
        (folder / state / "manifest.json").write_text(json.dumps(manifest))
    (folder / "dbt_project.yml").write_text(json.dumps({"name": "shop", "version": "1.0.0", "profile": "shop"}))
    output = {"type": "duckdb", "path": "shop.duckdb", "schema": "main"}
    (folder / "profiles.yml").write_text(json.dumps({"shop": {"target": "dev", "outputs": {"dev": output}}}))
    with FeatureStore.open(folder, profiles_dir=str(folder)) as store:
        return store.plan(folder / "state", **{"use_warehouse": False, **request})


def verdicts(plan: Plan) -> dict[str, str]:
    """Everything that is not the same: a breaking one with the services that it breaks."""
    found = {each.name: each for each in plan}
    found |= {f"{view.name}.{each.name}": each for view in plan.feature_views for each in view.features}
    return {
        name: f"breaking {' '.join(each.broken_services)}" if each.verdict is Verdict.BREAKING else each.verdict.value
        for name, each in found.items()
        if each.verdict is not Verdict.SAME
    }


class Edit:
    """Changes to a copy of the base."""

    def __init__(self) -> None:
        self.manifest = copy.deepcopy(base())
        self.nodes = self.manifest["nodes"]

    def sql(self, name: str, old: str, new: str) -> Edit:
        found = self.nodes[f"model.shop.{name}"]
        assert old in found["compiled_code"], f"{name} has no {old}"
        found["compiled_code"] = found["raw_code"] = found["compiled_code"].replace(old, new)
        return self

    def block(self, name: str, **settings: Any) -> Edit:
        self.nodes[f"model.shop.{name}"]["config"]["meta"]["feature_view"] |= settings
        return self

    def config(self, name: str, **settings: Any) -> Edit:
        self.nodes[f"model.shop.{name}"]["config"] |= settings
        return self

    def put(self, unique_id: str, /, **fields: Any) -> Edit:
        self.nodes.setdefault(unique_id, {}).update(fields)
        return self

    def service(self, name: str, features: dict[str, Any], **settings: Any) -> Edit:
        self.manifest["exposures"][name] = service(name, features, **settings)
        return self
