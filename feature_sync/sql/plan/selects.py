"""Reads the parts of a query: WITH, FROM, SELECT, set operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sqlglot import exp

from feature_sync.sql.plan.determinism import aggregates, is_plain, own_nodes
from feature_sync.sql.plan.expressions import Expressions, Scope, UnreadableQuery
from feature_sync.sql.plan.forms import Form, combine, unordered
from feature_sync.sql.plan.selected import Item, SelectedSource, Star, UnionSource
from feature_sync.sql.plan.sources import OpaqueSource, RenamedSource, Source, TaggedSource

__all__ = ["Reader", "UnreadableQuery"]
_OF_SELECT = frozenset({
    "with_", "expressions", "distinct", "from_", "laterals", "joins", "where", "group", "having", "qualify", "windows",
    "order", "limit", "offset",
})  # fmt: skip
_OF_UNION = frozenset({"with_", "this", "expression", "distinct", "by_name", "order", "limit", "offset"})
_OF_JOIN = frozenset({"this", "on", "side", "kind", "using", "method"})
_OF_TABLE = frozenset({"this", "db", "catalog", "alias"})
_SAME_JOIN = {"INNER": "", "OUTER": ""}
_Known = Mapping[str, Source]


class Reader:
    """Reads one query. `loose`: the order in which rows are read cannot matter, so equivalent forms are made equal."""

    def __init__(
        self,
        sql: str,
        *,
        table: Callable[[exp.Table], Source],
        fold: Callable[[str | exp.Identifier], str],
        loose: bool,
    ) -> None:
        self._table = table
        self._fold = fold
        self._loose = loose
        self._expressions = Expressions(sql, self._nested, fold=fold, loose=loose)
        self._known: list[_Known] = []
        self._tags = 0

    def query(self, query: exp.Query, known: _Known | None = None, outer: Scope | None = None) -> Source:
        """Read a query below WITH clauses, and inside other queries if it is correlated.

        Raises:
            UnreadableQuery: It holds what is not understood.
        """
        known = self._with(query.args.get("with_"), {**(known or {})}, outer)
        self._known.append(known)
        try:
            if isinstance(query, exp.Subquery):
                return self._subquery(query, known, outer)
            if isinstance(query, exp.SetOperation):
                return self._union(query, known, outer)
            if isinstance(query, exp.Select):
                return self._select(query, known, outer)
        finally:
            self._known.pop()
        raise UnreadableQuery(f"holds {query.key.upper()}, which is not understood")

    def _nested(self, query: exp.Query, scope: Scope) -> Form:
        """Read a query inside an expression."""
        return self.query(query, self._known[-1], scope).full

    def _with(self, clause: exp.With | None, known: dict[str, Source], outer: Scope | None) -> dict[str, Source]:
        if clause is None:
            return known
        _check(clause, frozenset({"expressions", "recursive"}))
        for cte in clause.expressions:
            _check(cte, frozenset({"this", "alias", "materialized"}))
            name = self._fold(cte.args["alias"].this)
            inside = dict(known)
            if clause.args.get("recursive"):
                inside[name] = OpaqueSource(combine("itself"), alias="", names=None)
            if not isinstance(cte.this, exp.Query):
                raise UnreadableQuery("changes tables")
            known[name] = self._shared(self._renamed(self.query(cte.this, inside, outer), cte.args["alias"]))
        return known

    def _shared(self, source: Source) -> Source:
        """Tell the readings of one CTE from copies of it, unless every reading has the same rows."""
        if self._loose:
            return source
        self._tags += 1
        return TaggedSource(source, str(self._tags))

    def _renamed(self, source: Source, alias: exp.TableAlias | None) -> Source:
        names = [self._fold(each) for each in (alias.args.get("columns") or [] if alias is not None else [])]
        return RenamedSource(source, names) if names else source

    def _subquery(self, query: exp.Subquery, known: _Known, outer: Scope | None) -> Source:
        _check(query, frozenset({"with_", "this", "alias"}))
        if not isinstance(query.this, exp.Query):
            raise UnreadableQuery("joins tables in brackets, which is not understood")
        source = self.query(query.this, known, outer)
        if not self._loose:
            source = TaggedSource(source, "subquery")
        return self._renamed(source, query.args.get("alias"))

    def _union(self, query: exp.SetOperation, known: _Known, outer: Scope | None) -> Source:
        _check(query, _OF_UNION)
        left, right = (self.query(each, known, outer) for each in (query.this, query.expression))
        keeps_all = isinstance(query, exp.Union) and query.args.get("distinct") is False
        kind = f"{query.key} {query.args.get('distinct')} {query.args.get('by_name')}"
        by_position = keeps_all and not query.args.get("by_name") and left.names is not None and right.names is not None
        scope = Scope(parent=outer)
        ending = [self._expressions.form(each, scope) for each in self._ending(query)]
        return UnionSource(kind, left, right, by_position=by_position and not ending, ending=ending)

    def _ending(self, query: exp.Query) -> list[exp.Expr]:
        """Return ORDER BY, LIMIT and OFFSET; an order alone decides nothing where order cannot matter."""
        names = ("limit", "offset") if self._loose else ("order", "limit", "offset")
        return [each for each in map(query.args.get, names) if each is not None]

    def _select(self, query: exp.Select, known: _Known, outer: Scope | None) -> Source:
        _check(query, _OF_SELECT)
        if not query.expressions:
            raise UnreadableQuery("selects nothing")
        scope, clauses = Scope(parent=outer), [combine("select")]
        if query.args.get("from_") is not None:
            self._read(query.args["from_"].this, scope, known)
        joins = (*(query.args.get("laterals") or []), *(query.args.get("joins") or []))
        clauses += [self._join(each, scope, known) for each in joins]
        items = self._items(query.expressions, scope)
        whole = [each.form for each in items]
        if self._loose and self._only_selects(query):
            return SelectedSource(scope.sources[0][1].body, items, passes_through=True)
        clauses += self._clauses(query, scope, items)
        if any(not is_plain(each) for each in query.expressions) or self._spreads(query):
            clauses.append(combine("all", *whole))
        rows = combine("rows", *(source.body for _, source in scope.sources), *clauses)
        return SelectedSource(rows, items, passes_through=False)

    @staticmethod
    def _spreads(query: exp.Select) -> bool:
        """True if the columns decide which rows there are."""
        group = query.args.get("group")
        by_all = [each for each in query.find_all(exp.Var, exp.Column) if each.name.upper() == "ALL"]
        return (
            query.args.get("distinct") is not None
            or bool(by_all)
            or (group is not None and bool(group.args.get("all")))
        )

    @staticmethod
    def _only_selects(query: exp.Select) -> bool:
        """True if a query has the rows of the one that it reads, whatever it selects of them."""
        others = _OF_SELECT - {"with_", "expressions", "from_", "order"}
        return (
            query.args.get("from_") is not None
            and not any(query.args.get(each) for each in others)
            and all(is_plain(each) and not aggregates(each) for each in query.expressions)
        )

    def _read(self, node: exp.Expr, scope: Scope, known: _Known) -> None:
        """Add what stands in FROM or JOIN to a scope."""
        alias = node.args.get("alias")
        name = self._fold(alias.this) if isinstance(alias, exp.TableAlias) and alias.this is not None else ""
        columns = alias.args.get("columns") if isinstance(alias, exp.TableAlias) else None
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            _check(node, _OF_TABLE)
            folded = self._fold(node.this)
            source = known.get(folded) if not node.args.get("db") else None
            source = self._renamed(source or self._table(node), alias)
            scope.sources.append((name or folded, source))
        elif isinstance(node, exp.Query):
            scope.sources.append((name, self.query(node, known, None)))
        else:
            names = tuple(self._fold(each) for each in columns) if columns else None
            made = node.copy()
            made.set("alias", None)
            form = self._expressions.form(made, scope)
            scope.sources.append((name, OpaqueSource(combine("made", form), alias=name, names=names)))

    def _join(self, join: exp.Expr, scope: Scope, known: _Known) -> Form:
        if not isinstance(join, exp.Join):  # LATERAL VIEW, CROSS APPLY
            self._read(join, scope, known)
            return combine("lateral")
        _check(join, _OF_JOIN)
        self._read(join.this, scope, known)
        kind = str(join.args.get("kind") or "").upper()
        parts = [
            str(join.args.get("side") or "").upper(),
            _SAME_JOIN.get(kind, kind),
            str(join.args.get("method") or ""),
        ]
        on = join.args.get("on")
        using = [self._fold(each) for each in join.args.get("using") or []]
        scope.merges |= {*using} | ({""} if parts[2] else set())
        shared = [self._expressions.name(each, scope) for each in using]
        whole = [source.full for _, source in scope.sources] if "NATURAL" in parts[2].upper() else []
        condition = None if on is None else self._expressions.condition(on, scope)
        is_listed = on is None and not using and not any(parts)
        return combine("join", *parts, ", " if is_listed else "", condition, *shared, *whole)

    def _items(self, selected: Sequence[exp.Expr], scope: Scope) -> list[Item | Star]:
        items: list[Item | Star] = []
        for each in selected:
            inside = each.unalias().unnest()
            star = inside if isinstance(inside, exp.Star) else inside.this if isinstance(inside, exp.Column) else None
            if isinstance(star, exp.Star):
                items.append(self._star(star, inside, scope))
                continue
            form, direct = self._expressions.form(inside, scope), None
            if isinstance(inside, exp.Column):
                direct = self._expressions.direct(inside, scope)
            named = each.args.get("alias") if isinstance(each, exp.Alias) else None
            identifier = named if named is not None else inside.this if isinstance(inside, exp.Column) else None
            name = self._fold(identifier) if isinstance(identifier, exp.Identifier) else None
            items.append(Item(name, form, direct=direct))
            if isinstance(each, exp.Alias) and name is not None:
                if name not in scope.aliases and self._is_made_of(inside, name, scope):
                    scope.proven.add(name)
                scope.aliases[name] = form
        return items

    def _is_made_of(self, expression: exp.Expr, name: str, scope: Scope) -> bool:
        """True if an expression reads a column of this name of a source: not the field of a struct."""
        aliases = {alias for alias, _ in scope.sources}
        return any(
            isinstance(each, exp.Column)
            and isinstance(each.this, exp.Identifier)
            and self._fold(each.this) == name
            and not each.args.get("db")
            and (each.args.get("table") is None or self._fold(each.args["table"]) in aliases)
            for each in own_nodes(expression)
        )

    def _star(self, star: exp.Star, column: exp.Expr, scope: Scope) -> Star:
        of = self._fold(column.args["table"]) if isinstance(column, exp.Column) and column.args.get("table") else None
        chosen = [(at, each) for at, (alias, each) in enumerate(scope.sources) if of is None or alias == of]
        options = {name: value for name, value in star.args.items() if value}
        left_out = frozenset(
            self._fold(each.this if isinstance(each, exp.Column) else each) for each in options.pop("except_", [])
        )
        is_known = not options and not scope.merges and bool(chosen)
        form = combine("star", *sorted(left_out), *(combine(str(at), each.full) for at, each in chosen))
        if options:
            form = combine("changed star", form, self._expressions.form(star, scope))
        return Star(form, tuple(chosen), left_out=left_out, is_known=is_known, is_alone=len(scope.sources) == 1)

    def _clauses(self, query: exp.Select, scope: Scope, items: Sequence[Item | Star]) -> list[Form]:
        """Read what decides the rows beside FROM."""
        read, forms = self._expressions, list[Form]()
        filters = {name: query.args.get(name) for name in ("where", "having", "qualify")}
        scopes = {"where": scope.before_selection()}
        forms += [
            combine(name, read.condition(each.this, scopes.get(name, scope)))
            for name, each in filters.items()
            if each is not None
        ]
        if (group := query.args.get("group")) is not None:
            _check(group, frozenset({"expressions", "grouping_sets", "cube", "rollup", "all"}))
            keys = [self._positioned(each, items, scope) for each in group.expressions]
            forms.append(unordered("group", keys) if self._loose else combine("group", *keys))
            sets = [each for kind in ("grouping_sets", "cube", "rollup") for each in group.args.get(kind) or []]
            forms += [read.form(each, scope) for each in sets]
        elif any(aggregates(each) for each in query.expressions) or query.args.get("having") is not None:
            forms.append(combine("aggregated"))
        forms += [read.form(each, scope) for each in query.args.get("windows") or []]
        if (distinct := query.args.get("distinct")) is not None:
            forms.append(read.form(distinct, scope))
        for clause in self._ending(query):
            if isinstance(clause, exp.Order):
                forms.append(combine("order", *(self._ordered(each, items, scope) for each in clause.expressions)))
            else:
                forms.append(read.form(clause, scope))
        return forms

    def _ordered(self, term: exp.Expr, items: Sequence[Item | Star], scope: Scope) -> Form:
        if not isinstance(term, exp.Ordered):
            return self._expressions.form(term, scope)
        options = [str(term.args.get(each) or False) for each in ("desc", "nulls_first")]
        return combine("ordered", *options, self._positioned(term.this, items, scope))

    def _positioned(self, key: exp.Expr, items: Sequence[Item | Star], scope: Scope) -> Form:
        """Read a key of GROUP BY or ORDER BY, which may be the position of a column."""
        if isinstance(key, exp.Literal) and not key.is_string:
            if any(isinstance(each, Star) for each in items) or not key.name.isdigit():
                return combine("position", key.name, *(each.form for each in items))
            position = int(key.name) - 1
            if 0 <= position < len(items):
                return items[position].form
        return self._expressions.form(key, scope)


def _check(node: exp.Expr, known: frozenset[str]) -> None:
    """Raise if a node has parts that are not read."""
    for name, value in node.args.items():
        if value and name not in known:
            raise UnreadableQuery(f"holds {name.strip('_').upper()} of {node.key.upper()}, which is not understood")
