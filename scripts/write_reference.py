"""Write docs/cli.md and docs/python.md from the code, docs/json.md from its schema; or `--check` them."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from json_reference import json_page

import feature_sync
from feature_sync.cli import cli
from feature_sync.push.report import PushOptions
from feature_sync.store.project import OptionKeywords, Options
from feature_sync.store.pushes import PushRequest
from feature_sync.store.requests import InitRequest, VerifyRequest, ViewRequest
from feature_sync.store.skew import SkewRequest
from feature_sync.training.spines import SpineKeywords, SpineOptions

DOCS = Path(__file__).parents[1] / "docs"
NOTE = "<!-- Written by scripts/write_reference.py: change the code's own words, and run `make format`. -->"
WIDTH = 100
KEYWORDS = (OptionKeywords, InitRequest, ViewRequest, PushRequest, VerifyRequest, SkewRequest, SpineKeywords)
"""The dictionaries of keyword arguments that methods take, by name."""
DESCRIBED_BY = {OptionKeywords: (Options,), PushRequest: (PushRequest, PushOptions), SpineKeywords: (SpineOptions,)}
"""Whose docstrings describe their keys, where it is not the dictionary's own."""


def cli_page() -> str:
    """Describe every command, and first the options that all share."""
    commands = dict(commands_of(cli, ()))
    options = {
        name: [each for each in command.params if isinstance(each, click.Option)] for name, command in commands.items()
    }
    spoken = [{text_of(each) for each in listed} for listed in options.values() if listed]
    shared = {text for text in set.union(*spoken) if sum(text in each for each in spoken) > len(spoken) // 2}
    lines = [
        NOTE,
        "",
        "# Commands",
        "",
        "Most commands take these options, too, or read them from the environment:",
        "",
    ]
    lines += sorted(shared)
    for name, command in commands.items():
        usage = " ".join(command.collect_usage_pieces(click.Context(command)))
        own = [text for text in map(text_of, options[name]) if text not in shared]
        lines += [
            "",
            f"## `feature-sync {name}`",
            "",
            f"    feature-sync {name} {usage}",
            "",
            str(command.help),
            *([""] if own else []),
            *own,
        ]
    return "\n".join([*lines, ""])


def commands_of(group: click.Group, before: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    """List commands, those of groups by their whole names."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands_of(command, (*before, name))
        else:
            yield " ".join((*before, name)), command


def text_of(option: click.Option) -> str:
    """Describe an option as an item of a list."""
    metavar = "" if option.is_flag or option.count else f" {option.make_metavar(click.Context(cli))}"
    variable = f" Environment: `{option.envvar}`." if option.envvar else ""
    return f"- `{', '.join((*option.opts, *option.secondary_opts))}{metavar}`: {option.help}{variable}"


def python_page() -> str:
    """Describe every exported name, and the keyword arguments that methods share."""
    lines = [NOTE, "", "# Python", "", "Everything below is imported from `feature_sync`.", ""]
    for name in feature_sync.__all__:
        value = getattr(feature_sync, name)
        if inspect.isclass(value):
            lines += [f"## `{name}`", "", *prose(value), "", *members(value)]
    lines += ["## Keyword arguments", ""]
    for keywords in KEYWORDS:
        described = [line for each in DESCRIBED_BY.get(keywords, (keywords,)) for line in (*prose(each), "")]
        types = [f"- `{name}: {type_text(keywords, name)}`" for name in keywords.__annotations__]
        lines += [f"### `{keywords.__name__}`", "", *described, *types, ""]
    return "\n".join(lines)


def type_text(keywords: type, name: str) -> str:
    """The type of a key as the source has it."""
    found = keywords.__annotations__[name]
    return found.__forward_arg__ if isinstance(found, typing.ForwardRef) else str(found)


def members(kind: type) -> list[str]:
    """Describe public methods and properties of a class of ours, in their order, then those that it inherits."""
    lines: list[str] = []
    ours = [each for each in kind.__mro__ if each.__module__.startswith("feature_sync.")]
    for name, value in {name: getattr(kind, name) for each in ours for name in vars(each)}.items():
        if name.startswith("_") and name != "__init__":
            continue
        if isinstance(value, property):
            lines += [f"### `{kind.__name__}.{name}`", "", *prose(value), ""]
            continue
        function = getattr(value, "__func__", value)  # a class method's
        if inspect.isfunction(function) and function.__doc__:
            called = kind.__name__ if name == "__init__" else f"{kind.__name__}.{name}"
            lines += [
                f"### `{called}`",
                "",
                "```python",
                f"{called}{signature(function)}",
                "```",
                "",
                *prose(value),
                "",
            ]
    return lines


def signature(function: Any) -> str:
    """A signature without `self`, one parameter a line where it is long."""
    found = inspect.signature(function)
    listed = [each for each in found.parameters.values() if each.name not in ("self", "cls")]
    parameters = [parameter(each) for each in listed]
    for first in [at for at, each in enumerate(listed) if each.kind is each.KEYWORD_ONLY][:1]:
        parameters.insert(first, "*")
    returns = f" -> {found.return_annotation}"
    text = f"({', '.join(parameters)}){returns}"
    if len(text) < WIDTH:
        return text
    return "".join(["(\n", *(f"    {each},\n" for each in parameters), ")", returns])


def parameter(found: inspect.Parameter) -> str:
    """A parameter with its type and its default."""
    stars = "**" if found.kind is found.VAR_KEYWORD else ""
    default = "" if found.default is found.empty else f" = {'...' if callable(found.default) else repr(found.default)}"
    return f"{stars}{found.name}: {found.annotation}{default}"


def prose(value: Any) -> list[str]:
    """A docstring as Markdown: examples as code, arguments and errors as lists."""
    lines: list[str] = []
    is_code = False
    for line in (inspect.getdoc(value) or "").splitlines():
        if line.startswith(">>>") and not is_code:
            lines.append("```python")
            is_code = True
        elif is_code and not line.strip():
            lines.append("```")
            is_code = False
        if line in ("Args:", "Raises:", "Returns:"):
            lines += [{"Args:": "Arguments:", "Raises:": "Raises:", "Returns:": "Returns:"}[line], ""]
        elif line.startswith("    ") and not is_code:
            name, colon, text = line.strip().partition(": ")
            is_item = colon and " " not in name and not line.startswith("     ")
            lines.append(f"- `{name}`: {text}" if is_item else f"  {line.strip()}")
        else:
            lines.append(line.partition("  # doctest")[0].rstrip() if is_code else line)
    return [*lines, "```"] if is_code else lines


def main() -> None:
    """Write the pages, or check them."""
    stale = []
    json_note = NOTE.replace("the code's own words", "docs/json.schema.json")
    pages = {"cli.md": cli_page(), "json.md": json_page(json_note), "python.md": python_page()}
    for name, text in pages.items():
        path = DOCS / name
        if "--check" not in sys.argv:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(f"docs/{name}")
    if stale:
        sys.exit(f"{' and '.join(stale)} would be written otherwise; run make format")


if __name__ == "__main__":
    main()
