"""The requests about access: the users of Redis that a project needs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from feature_sync.access.passwords import generate, variables
from feature_sync.access.redis_rules import RedisRules, redis_rules, users_of
from feature_sync.store.project import FeatureProject, listed


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
