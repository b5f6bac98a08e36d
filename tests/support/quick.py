"""Finds the quick tests, which start no process: no dbt, no server, no emulator. And fails one that does.

What a test may start is read from its code: the fixtures that it asks for, and the functions and methods of the tests
that these and it refer to by name.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from inspect import isclass, isfunction, unwrap
from types import CodeType, FunctionType, ModuleType

import pytest

_STARTERS = frozenset({"subprocess", "EmbeddedServer"})
_WAREHOUSES = frozenset({"PostgresServer", "ZetaSqlLocalService"})
"""A server, and an engine that takes ten seconds to load: a test that runs on DuckDB leaves them alone."""
_OURS = ("tests", "bench")
_SERVERS = frozenset({"postgres", "bigquery"})
"""The fixtures that tests ask for by name, unless they run on DuckDB."""
_STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system")
_started: list[str] | None = None
"""What the quick test that runs now has started; None while none runs."""


def is_quick(item: pytest.Function) -> bool:
    """True if a test starts no process, as far as its code tells, and does not say itself that it takes long."""
    fixtures = item._fixtureinfo.name2fixturedefs  # noqa: SLF001 - pytest has no other way to tell the closure
    if item.get_closest_marker("long") or not _SERVERS.isdisjoint(fixtures):
        return False
    params = set(map(str, item.callspec.params.values())) if hasattr(item, "callspec") else set()
    starters, servers = (_STARTERS, _SERVERS) if "duckdb" in params else (_STARTERS | _WAREHOUSES, frozenset())
    functions = [unwrap(item.function), *(unwrap(each[-1].func) for each in fixtures.values())]
    reached = _Reached(functions)
    asked = (reached.texts | params) - servers if "getfixturevalue" in reached.names else ()
    manager = item.session._fixturemanager  # noqa: SLF001
    more = [unwrap(found[-1].func) for name in asked if (found := manager.getfixturedefs(name, item))]
    return starters.isdisjoint(reached.names | _Reached([*functions, *more]).names)


class _Reached:
    """The functions that may run where some do, with all names and texts in their code."""

    def __init__(self, functions: list[FunctionType]) -> None:
        self.names: set[str] = set()
        self.texts: set[str] = set()
        self._seen: set[FunctionType] = set()
        self._classes: set[type] = set()
        waiting = list(functions)
        while waiting:
            for each in waiting:
                self._read(each)
            waiting = [each for each in self._methods() if each not in self._seen]

    def _read(self, function: FunctionType) -> None:
        waiting = [function]
        while waiting:
            function = waiting.pop()
            if function in self._seen:
                continue
            self._seen.add(function)
            names, texts = _words(function.__code__)
            self.names |= names
            self.texts |= texts
            for found in _meant(function, names):
                if isclass(found) and _is_ours(found):
                    self._classes.update(each for each in found.__mro__ if _is_ours(each))
                elif isfunction(unwrap(found)) and _is_ours(found):
                    waiting.append(unwrap(found))

    def _methods(self) -> Iterator[FunctionType]:
        """The methods of the classes that are used, if something is called as they are."""
        for kind in self._classes:
            for name, value in vars(kind).items():
                method = getattr(value, "fget", None) or getattr(value, "__func__", value)
                if isfunction(method) and (name in self.names or (name.startswith("__") and name.endswith("__"))):
                    yield method


@cache
def _words(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """The names and the texts in a function's code and in the functions inside it."""
    names, texts = set(code.co_names), {each for each in code.co_consts if isinstance(each, str)}
    for each in code.co_consts:
        if isinstance(each, CodeType):
            inner = _words(each)
            names |= inner[0]
            texts |= inner[1]
    return frozenset(names), frozenset(texts)


def _meant(function: FunctionType, names: frozenset[str]) -> Iterator[object]:
    """What names stand for in a function: in its module, in its closure, and in the modules that it imports itself."""
    imported = [import_module(name) for name in names if name.split(".")[0] in _OURS and "." in name]
    modules = [each for each in function.__globals__.values() if isinstance(each, ModuleType) and _is_ours(each)]
    for name in names:
        if name in function.__globals__:
            yield function.__globals__[name]
            yield from _members(function.__globals__[name])
        yield from (vars(module)[name] for module in (*imported, *modules) if name in vars(module))
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # nothing is in it yet
            continue


def _members(found: object) -> list[object]:
    return [*found.values()] if isinstance(found, dict) else [*found] if isinstance(found, (list, tuple)) else []


def _is_ours(found: object) -> bool:
    name = getattr(found, "__module__", None) or getattr(found, "__name__", "")
    return name.split(".")[0] in _OURS


@contextmanager
def starting_nothing() -> Iterator[None]:
    """Fail a test that starts a process meanwhile, even if it catches what stops it."""
    global _started  # noqa: PLW0603 - an audit hook cannot be removed, so it needs to know when it counts
    _started = []
    try:
        yield
        if _started:
            _fail(_started[0])
    finally:
        _started = None


def _fail(what: str) -> None:
    pytest.fail(f"a quick test starts a process, {what}: let tests/support/quick.py see it", pytrace=True)


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _started is not None and event in _STARTS:
        _started.append(f"{event} {arguments[:2]!r:.200}")
        _fail(_started[-1])


sys.addaudithook(_watch)
