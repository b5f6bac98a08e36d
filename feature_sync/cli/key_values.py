"""Parses arguments that are written as KEY=VALUE."""

from __future__ import annotations

import click


def key_values(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Parse KEY=VALUE arguments; a value may hold further equals signs.

    Raises:
        click.BadParameter: An argument has no key or no equals sign, or a key is given twice.
    """
    keys: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{value!r} is not written as KEY=VALUE", context, parameter)
        if name in keys:
            raise click.BadParameter(f"{name} is given twice", context, parameter)
        keys[name] = text
    return keys
