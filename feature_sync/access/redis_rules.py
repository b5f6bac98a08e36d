"""The users of Redis that a project needs, from its definitions: a writer, an auditor and a reader of each service."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from feature_sync.access.passwords import password_rule, variables
from feature_sync.definitions import FeatureService, Registry
from feature_sync.errors import RequestError, UnknownName
from feature_sync.online.redis.users import RedisUser, auditor, file_line, reader, setuser, streamer, writer


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisRules:
    """The users of one project in Redis, each with the rule of its password; no password is in them.

    Args:
        users: The users.
        variables: The environment variable of each user's password, by the user's name.
        passwords: The rule of each user's password, by the user's name; hashes are left out of the `repr`.
    """

    users: tuple[RedisUser, ...]
    variables: Mapping[str, str]
    passwords: Mapping[str, str] = field(repr=False)

    @property
    def without_password(self) -> tuple[str, ...]:
        """The variables that are not set: the rules of their users hold a placeholder, which Redis refuses."""
        return tuple(self.variables[user] for user, rule in self.passwords.items() if not _is_hash(rule))

    def to_commands(self) -> str:
        """Return a command of redis-cli for each user."""
        return "".join(f"{setuser(each, self.passwords[each.name])}\n" for each in self.users)

    def to_file(self) -> str:
        """Return a line of Redis's file of users (`aclfile`) for each user."""
        return "".join(f"{file_line(each, self.passwords[each.name])}\n" for each in self.users)


def users_of(registry: Registry, key_prefix: str, services: Collection[str] = ()) -> tuple[RedisUser, ...]:
    """List the users of a project; services with a view that is not online have no card, and so no reader.

    Args:
        registry: The definitions.
        key_prefix: The key prefix of the store.
        services: List only the readers of these services; empty lists all users.

    Raises:
        RequestError: A named service is never pushed, or Redis has no rule for a name.
        UnknownName: The project does not define a service.
    """
    defined = registry.feature_services
    for name in services:
        if name not in defined:
            raise UnknownName("feature service", name, defined)
        if not _is_served(defined[name]):
            raise RequestError(f"{name} has a view that says online: false, so it is never pushed and has no reader")
    chosen = [defined[name] for name in dict.fromkeys(services)] or [*filter(_is_served, defined.values())]
    readers = tuple(
        reader(key_prefix, each.name, list(dict.fromkeys(one.view.reference for one in each.selections)))
        for each in chosen
    )
    if services:
        return readers
    streamed = [each.reference for each in registry.feature_views.values() if each.stream is not None and each.online]
    return writer(key_prefix), auditor(key_prefix), *(streamer(key_prefix, each) for each in streamed), *readers


def redis_rules(users: Collection[RedisUser], key_prefix: str, environment: Mapping[str, str]) -> RedisRules:
    """Add the rules of the passwords.

    Args:
        users: The users.
        key_prefix: The key prefix of the store.
        environment: Holds the passwords.

    Raises:
        RequestError: A password is empty or short, or one variable would be that of two users.
    """
    named = variables([each.name for each in users], key_prefix)
    passwords = {user: password_rule(user, variable, environment) for user, variable in named.items()}
    return RedisRules(users=tuple(users), variables=named, passwords=passwords)


def _is_served(service: FeatureService) -> bool:
    return all(each.view.online for each in service.selections)


def _is_hash(rule: str) -> bool:
    return not rule.startswith("#SHA")
