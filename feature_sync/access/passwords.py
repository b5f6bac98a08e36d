"""The passwords of Redis's users: hashed from the environment, or made anew into a file of their owner's alone."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from feature_sync.errors import OutputError, RequestError
from feature_sync.files import writing

_VARIABLE = "FEATURE_SYNC_PASSWORD_"
_FEWEST_CHARACTERS = 12
"""Redis keeps a bare SHA-256, so that short passwords can be guessed from it."""
_BYTES_OF_PASSWORD = 32


def variables(users: Iterable[str], key_prefix: str) -> dict[str, str]:
    """Return the environment variable of each user's password, such as `FEATURE_SYNC_PASSWORD_WRITER`.

    Raises:
        RequestError: Two users would have the same.
    """
    named: dict[str, str] = {}
    for user in users:
        kind = user.removeprefix(f"{key_prefix}-")
        variable = _VARIABLE + re.sub(r"\W", "_", kind, flags=re.ASCII).upper()
        if other := next((each for each, taken in named.items() if taken == variable), None):
            raise RequestError(
                f"{variable} would hold the passwords of {other} and of {user}; print one with --service"
            )
        named[user] = variable
    return named


def password_rule(user: str, variable: str, environment: Mapping[str, str]) -> str:
    """Return the rule of a user's password; without one a placeholder, which Redis refuses.

    Args:
        user: The name of the user, for messages.
        variable: The name of the variable that holds the password.
        environment: The environment.

    Raises:
        RequestError: The password is empty or short.
    """
    if variable not in environment:
        return f"#SHA-256-OF-{variable}"
    password = environment[variable]
    if len(password) < _FEWEST_CHARACTERS:
        raise RequestError(
            f"{variable} has {len(password)} characters, and the password of {user} needs {_FEWEST_CHARACTERS} or "
            "more: Redis keeps a hash that is quick to guess; openssl rand -hex 32 makes one"
        )
    return "#" + sha256(os.fsencode(password)).hexdigest()


def generate(names: Iterable[str], path: Path) -> dict[str, str]:
    """Make passwords, and write them to a new file of this user's alone as lines of `VARIABLE=password`.

    Args:
        names: The names of the variables.
        path: The file, which must not exist: a password in it may be in use.

    Raises:
        OutputError: The file exists, or cannot be written.
    """
    made = {name: secrets.token_urlsafe(_BYTES_OF_PASSWORD) for name in names}
    if path.exists() or path.is_symlink():
        raise OutputError(f"{path} exists, and its passwords may be in use; name a new file, or remove that one")
    with writing(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.writelines(f"{name}={password}\n" for name, password in made.items())
    return made
