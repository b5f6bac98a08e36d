"""The users of a Redis that may do what this package does and no more: rules of Redis's ACL.

Each command that the package sends stands in one of the lists below, and in no category: those grow with Redis.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from feature_sync.errors import RequestError
from feature_sync.online.keys import ViewKeys, card_key, name_of, revision_key
from feature_sync.online.redis.globs import literal

_CONNECTING = ("ping", "select", "client|setname", "role", "cluster|slots", "asking")
"""The last three find the primary behind Sentinels, the nodes of a cluster, and a slot that is moving."""
READER_COMMANDS = (*_CONNECTING, "get", "mget", "hmget", "hgetall", "exists")
"""What a client of one service sends; HGETALL reads the schemas of a view that is asked for by a project."""
AUDITOR_COMMANDS = (
    *READER_COMMANDS, "smembers", "scan", "pexpiretime", "memory|usage", "info", "time", "multi", "exec", "hlen",
    "hscan", "hget", "cluster|nodes", "dbsize",
)  # fmt: skip
"""What only reads all services: `verify`, `status`, `forget`, `serve` of every service; the last two on a cluster."""
WRITER_COMMANDS = (
    *AUDITOR_COMMANDS, "set", "del", "unlink", "hset", "sadd", "srem", "eval", "watch", "unwatch",
    "hdel", "hkeys", "evalsha", "wait",
)  # fmt: skip
"""What `push` sends, and its scripts; the last two where a cluster or replicas are."""
STREAMER_COMMANDS = (
    *_CONNECTING, "info", "time", "hgetall", "eval", "evalsha", "hget", "hmget", "hset", "getrange", "set", "del",
)  # fmt: skip
"""What the writer of a view's stream sends, and its script."""
_QUOTED = '"\\'


class RedisUser(msgspec.Struct, frozen=True, kw_only=True):
    """A user of Redis, without a password.

    Args:
        name: The name of the user.
        may: What it is for, in words.
        keys: The rules for its keys, such as `%R~shop:*`.
        commands: Its commands, in lower case.
    """

    name: str
    may: str
    keys: tuple[str, ...]
    commands: tuple[str, ...]

    def rules(self, password: str) -> list[str]:
        """Return the rules, which replace all that the user had.

        Args:
            password: The rule of the password: `#` and its SHA-256 in hexadecimal digits.
        """
        commands = [f"+{command}" for command in self.commands]
        return ["reset", "on", password, "resetchannels", "-@all", *commands, *self.keys]


def writer(key_prefix: str) -> RedisUser:
    """Return the user that pushes: all keys of a prefix.

    Raises:
        RequestError: The prefix has white space.
    """
    keys = (f"~{_pattern(key_prefix)}:*",)
    return RedisUser(name=f"{key_prefix}-writer", may="push", keys=keys, commands=WRITER_COMMANDS)


def auditor(key_prefix: str) -> RedisUser:
    """Return the user that reads all keys of a prefix, and writes none.

    Raises:
        RequestError: The prefix has white space.
    """
    keys = (f"%R~{_pattern(key_prefix)}:*",)
    may = "verify, status, forget, and serve every service"
    return RedisUser(name=f"{key_prefix}-auditor", may=may, keys=keys, commands=AUDITOR_COMMANDS)


def streamer(key_prefix: str, reference: str) -> RedisUser:
    """Return the user that writes the stream of one view: its rows, its stream and its journal.

    Args:
        key_prefix: The key prefix of the store.
        reference: The reference of the view.

    Raises:
        RequestError: A name has white space.
    """
    view = ViewKeys(name_of(key_prefix, reference))
    own = [
        *map(_pattern, (view.stream, view.journal)),
        *(f"{_pattern(each)}:*" for each in (view.stream, view.journal)),
    ]
    keys = [f"~{each}" for each in (*own, f"{_pattern(view.rows)}*")]
    return RedisUser(
        name=f"{key_prefix}-streamer-{reference}",
        may=f"stream {reference}",
        keys=(*keys, f"%R~{_pattern(view.schemas)}"),
        commands=STREAMER_COMMANDS,
    )


def reader(key_prefix: str, service: str, references: Collection[str]) -> RedisUser:
    """Return the user that reads one service: its card, and rows and schemas of its views.

    Args:
        key_prefix: The key prefix of the store.
        service: The name of the service.
        references: The references of its views.

    Raises:
        RequestError: A name has white space.
    """
    views = [ViewKeys(name_of(key_prefix, each)) for each in references]
    exact = [revision_key(key_prefix), card_key(key_prefix, service), *(each.schemas for each in views)]
    patterns = [*map(_pattern, exact), *(f"{_pattern(each.rows)}*" for each in views)]
    return RedisUser(
        name=f"{key_prefix}-reader-{service}",
        may=f"read {service}",
        keys=tuple(f"%R~{pattern}" for pattern in patterns),
        commands=READER_COMMANDS,
    )


def setuser(user: RedisUser, password: str) -> str:
    """Return the user as a command for redis-cli."""
    words = ["ACL", "SETUSER", user.name, *user.rules(password)]
    return " ".join(map(_quoted, words))


def file_line(user: RedisUser, password: str) -> str:
    """Return the user as a line of Redis's file of users, which knows no quotes."""
    return " ".join(["user", user.name, *user.rules(password)])


def _pattern(text: str) -> str:
    """Return the pattern of a text. Redis refuses white space in it, and a wildcard instead would open other keys."""
    if not text.isprintable() or any(map(str.isspace, text)):
        raise RequestError(f"{text!r} has white space or control characters, for which Redis has no rule; rename it")
    return literal(text)


def _quoted(word: str) -> str:
    """Quote a word for redis-cli, if it needs that."""
    if not any(each in word for each in (*_QUOTED, "'")):
        return word
    return '"' + "".join(f"\\{each}" if each in _QUOTED else each for each in word) + '"'
