"""Reads expressions: every name becomes the form of the column that it stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from sqlglot import exp

from feature_sync.sql.plan.forms import Form, combine, unordered
from feature_sync.sql.plan.selected import at_source
from feature_sync.sql.plan.sources import Source

_TURNED: dict[type[exp.Expr], str] = {exp.GT: "lt", exp.GTE: "lte"}
_SYMMETRIC = (exp.EQ, exp.NEQ, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Mul)
_NUMBERS = (exp.Count, exp.Sum, exp.Avg, exp.Mul, exp.Sub, exp.Div, exp.Length)


class UnreadableQuery(Exception):
    """A query holds what is not understood: nothing can be told of a change."""


@dataclass(slots=True)
class Scope:
    """What names mean in one SELECT: its sources by alias, its own columns, and the SELECT around it.

    `merges` names the columns that USING or NATURAL makes one, `proven` those of its own columns that are made of
    one of the same name: so its sources have that column.
    """

    parent: Scope | None = None
    sources: list[tuple[str, Source]] = field(default_factory=list)
    aliases: dict[str, Form] = field(default_factory=dict)
    merges: set[str] = field(default_factory=set)
    proven: set[str] = field(default_factory=set)

    @property
    def level(self) -> int:
        """How many SELECTs are around it."""
        return 0 if self.parent is None else self.parent.level + 1

    def before_selection(self) -> Scope:
        """Return what names mean in WHERE: a column of a source comes before one of the SELECT in every warehouse."""
        return replace(self, aliases={name: each for name, each in self.aliases.items() if name not in self.proven})

    def everything(self) -> list[Form]:
        """Return the forms of all that can be read here."""
        outer = [] if self.parent is None else self.parent.everything()
        return [at_source(self.level, at, each.full) for at, (_, each) in enumerate(self.sources)] + outer


class Expressions:
    """Reads the expressions of one query."""

    def __init__(
        self,
        sql: str,
        nested: Callable[[exp.Query, Scope], Form],
        *,
        fold: Callable[[str | exp.Identifier], str],
        loose: bool,
    ) -> None:
        self._sql = sql
        self._nested = nested
        self._fold = fold
        self._loose = loose

    def condition(self, node: exp.Expr, scope: Scope) -> Form:
        """Read a condition; the order of its parts has no meaning, and a part that is always true none either."""
        node = node.unnest()
        if not self._loose or not isinstance(node, (exp.And, exp.Or)):
            return self.form(node, scope)
        parts = [each.unnest() for each in node.flatten()]
        kept = [each for each in parts if not _is_true(each)] if isinstance(node, exp.And) else parts
        forms = [self.condition(each, scope) for each in kept or parts[:1]]
        return forms[0] if len(forms) == 1 else unordered(node.key, forms)

    def form(self, node: exp.Expr, scope: Scope) -> Form:
        """Read an expression."""
        if isinstance(node, exp.Paren):
            return self.form(node.this, scope)
        if isinstance(node, exp.Column):
            return self._column(node, scope)
        if isinstance(node, exp.Query):
            return combine("query", self._nested(node, scope))
        if isinstance(node, exp.Table):
            return combine("table", self._plain(node, scope), *scope.everything())
        return (self._loose and self._rewritten(node, scope)) or self._plain(node, scope)

    def _rewritten(self, node: exp.Expr, scope: Scope) -> Form | None:
        """Read what may be written in several ways in one of them; None if it may not."""
        if isinstance(node, (exp.And, exp.Or)):
            return self.condition(node, scope)
        return self._turned(node, scope) if isinstance(node, exp.Binary) else None

    def _turned(self, node: exp.Binary, scope: Scope) -> Form | None:
        """Read an operation in one direction of two; None if it has only one."""
        left, right = node.this, node.expression
        if left.find(exp.Collate) or right.find(exp.Collate):
            return None
        if type(node) in _TURNED:
            return combine(_TURNED[type(node)], self.form(right, scope), self.form(left, scope))
        if type(node) in (exp.LT, exp.LTE):
            return combine(node.key, self.form(left, scope), self.form(right, scope))
        adds = isinstance(node, exp.Add) and (_is_number(left) or _is_number(right))
        if adds or type(node) in _SYMMETRIC:
            return unordered(node.key, (self.form(left, scope), self.form(right, scope)))
        return None

    def _plain(self, node: exp.Expr, scope: Scope) -> Form:
        """Read a node by its kind and all its parts; a function also by its name as it is written."""
        parts: list[Form | str] = []
        for name, value in sorted(node.args.items()):
            if value is None or value is False or value == []:
                continue
            parts += [name, self._part(value, scope)]
        written = self._sql[node.meta["start"] : node.meta["end"] + 1].lower() if _is_named(node) else ""
        return combine(type(node).__name__, written, *parts)

    def _part(self, value: Any, scope: Scope) -> Form:
        if isinstance(value, list):
            return combine("list", *(self._part(each, scope) for each in value))
        return self.form(value, scope) if isinstance(value, exp.Expr) else combine("value", repr(value))

    def _column(self, column: exp.Column, scope: Scope) -> Form:
        table = column.args.get("table")
        if column.args.get("db") is not None or not isinstance(column.this, (exp.Identifier, exp.Star)):
            return combine("path", *(part.name for part in column.parts), *scope.everything())
        if table is None:
            if isinstance(column.this, exp.Star):
                return combine("star", *scope.everything())
            return self.name(self._fold(column.this), scope)
        found = self._source(self._fold(table), scope)
        if found is None:  # a field of a struct
            return combine("field", column.this.name, self.name(self._fold(table), scope))
        level, at, source = found
        form = source.full if isinstance(column.this, exp.Star) else source.column(self._fold(column.this))
        if form is None:
            return combine("unknown", column.this.name, *scope.everything())
        return at_source(level, at, form)

    def direct(self, column: exp.Column, scope: Scope) -> Form | None:
        """Return the form of a column as the only source of a scope has it; None if it may be anything else."""
        if len(scope.sources) != 1 or column.args.get("db") is not None or not isinstance(column.this, exp.Identifier):
            return None
        (alias, source), name, table = scope.sources[0], self._fold(column.this), column.args.get("table")
        if (table is None and name in (*scope.aliases, alias)) or (table is not None and self._fold(table) != alias):
            return None
        if scope.parent is not None and name not in (source.names or ()):
            return None
        return source.column(name)

    @staticmethod
    def _source(alias: str, scope: Scope) -> tuple[int, int, Source] | None:
        """Find a source by its alias, in the scope or around it; None also if two have it."""
        around: Scope | None = scope
        while around is not None:
            found = [(around.level, at, each) for at, (name, each) in enumerate(around.sources) if name == alias]
            if found:
                return found[0] if len(found) == 1 else None
            around = around.parent
        return None

    def name(self, name: str, scope: Scope) -> Form:
        """Read a name without a table: all that it may stand for, if the query does not say which."""
        found, alias = self._candidates(name, scope), scope.aliases.get(name)
        if alias is not None:
            found = [alias, *(each for each in found if each.digest != alias.digest)]
        if not found:
            return combine("unknown", name, *scope.everything())
        return found[0] if len(found) == 1 else combine("one of", *found)

    def _candidates(self, name: str, scope: Scope) -> list[Form]:
        found: list[Form] = []
        is_certain = False
        for at, (alias, source) in enumerate(scope.sources):
            form = source.column(name)
            is_here = source.names is not None and name in source.names
            is_certain |= is_here
            if form is not None:
                found.append(at_source(scope.level, at, form))
            if alias == name and not is_here:
                found.append(combine("row", at_source(scope.level, at, source.full)))
        if scope.parent is not None and not is_certain:
            around = scope.parent.aliases.get(name)
            found += [*self._candidates(name, scope.parent), *([around] if around is not None else [])]
        return found


def _is_named(node: exp.Expr) -> bool:
    return isinstance(node, exp.Func) and "start" in node.meta and "end" in node.meta


def _is_true(node: exp.Expr) -> bool:
    """True for TRUE, and for a number that is compared with itself."""
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    return isinstance(node, exp.EQ) and node.this.is_int and bool(node.this == node.expression)


def _is_number(node: exp.Expr) -> bool:
    node = node.unnest()
    return isinstance(node, _NUMBERS) or (isinstance(node, exp.Literal) and not node.is_string)
