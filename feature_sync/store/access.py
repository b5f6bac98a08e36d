"""The requests about access: users of Redis, rights in the warehouse, and where an entity's values are."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from feature_sync.access.passwords import generate, variables
from feature_sync.access.redis_rules import RedisRules, redis_rules, users_of
from feature_sync.dbt.manifest import Manifest
from feature_sync.definitions import FeatureView
from feature_sync.errors import ProjectError, UnknownName
from feature_sync.forgetting.in_files import traces_in_files
from feature_sync.forgetting.searching import SearchContext, search
from feature_sync.forgetting.traces import Trace, Traces, asked_entity
from feature_sync.store.connections import Connections, check_built_for_target
from feature_sync.store.project import FeatureProject, listed
from feature_sync.warehouses.rights import GRANTING, NeededRights, grants


def acl_of(
    project: FeatureProject, services: Iterable[str], *, generate_passwords: str | os.PathLike[str] | None
) -> RedisRules:
    """Return the users of Redis that a project needs, with hashes of the passwords in the environment.

    Args:
        project: The project.
        services: The services whose readers to return, and nobody else; empty for all users.
        generate_passwords: A new file for passwords that are made now, and count instead of the environment's.

    Raises:
        FeatureSyncError: A service is unknown, a password is short, a name has no rule, or the file exists.
    """
    prefix = project.key_prefix
    users = users_of(project.registry, prefix, listed(services))
    if generate_passwords is None:
        return redis_rules(users, prefix, os.environ)
    names = variables([each.name for each in users], prefix)
    return redis_rules(users, prefix, generate(names.values(), Path(generate_passwords)))


def grants_of(project: FeatureProject, *, pusher: str, reader: str, builder: str, spines: Iterable[str]) -> str:
    """Return the statements that grant what pushes and training sets need in the warehouse.

    Args:
        project: The project.
        pusher: The role that pushes.
        reader: The role that makes training sets, verifies and reports.
        builder: The role that runs dbt; empty for the target's own.
        spines: Names of models, seeds, snapshots and sources that `reader` reads as spines.

    Raises:
        FeatureSyncError: A spine is unknown, the warehouse has no rights to grant, or the manifest is another one's.
    """
    from feature_sync.sql.push.watermarks import watermark_relation

    check_built_for_target(project)
    views = project.registry.feature_views
    pushed = {name: view.relation.name for name, view in views.items() if view.online}
    pushed |= {
        f"the watermark of {name}": watermark_relation(view, dialect=project.dialect)
        for name, view in views.items()
        if view.online and view.stream is not None
    }
    read = {name: view.relation.name for name, view in views.items()}
    read |= {name: _relation_of(project, name) for name in listed(spines)}
    kept, schema = project.state_target, project.state_schema
    needed = NeededRights(
        pushed=pushed,
        read=read,
        state_schema=schema if kept is None else None,
        pusher=pusher,
        reader=reader,
        builder=builder,
    )
    text = grants(project.target, needed)
    if kept is None or kept.adapter not in GRANTING:
        return text
    of_states = grants(kept, replace(needed, pushed={}, read={}, state_schema=schema))
    return f"{text}\n-- Where the states of pushes are kept, {kept.name}:\n{of_states}"


def _relation_of(project: FeatureProject, name: str) -> str:
    ids = project.manifest.relations()
    node = project.manifest.node(ids[name]) if name in ids else None
    if node is None:
        raise UnknownName("model, seed, snapshot or source", name, ids)
    if not node.relation_name:
        raise ProjectError(f"{node.location}: has no table of its own, so that nobody can read it")
    return node.relation_name


def traces_of(
    project: FeatureProject, connections: Connections, entity: str, keys: Iterable[str], files: Iterable[str]
) -> Traces:
    """Search Redis, the warehouse and files for the values of one entity; removes nothing.

    Args:
        project: The project.
        connections: Opens the warehouse and Redis.
        entity: The name of the entity.
        keys: The values of its join keys in their order, or `KEY=VALUE`.
        files: Parquet and CSV files, or folders of them.

    Raises:
        FeatureSyncError: The entity or a file is unknown, a key is of the wrong type, or Redis failed.
    """
    asked = asked_entity(project.registry, entity, listed(keys))
    context = SearchContext(
        open_places=connections.open_places,
        online=connections.online(may_create=False),
        state_schema=project.state_schema,
        upstream_of=lambda view: _upstream(project.manifest, view),
    )
    found = [*search(asked, context), *traces_in_files(listed(files), asked)]
    return Traces(
        entity=entity,
        keys=asked.keys,
        traces=tuple(each for each in found if isinstance(each, Trace)),
        problems=tuple(dict.fromkeys(each for each in found if isinstance(each, str))),
    )


def _upstream(manifest: Manifest, view: FeatureView) -> list[str]:
    """Return the relations of the sources, seeds and models that a view is built of."""
    nodes = map(manifest.node, manifest.ancestors(view.relation.unique_id))
    return [node.relation_name for node in nodes if node is not None and node.relation_name]
