"""Random queries, random edits of queries, and random tables to run them on in DuckDB."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import duckdb
from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

T = {"k": "integer", "a": "integer", "b": "bigint", "s": "varchar", "d": "timestamp", "f": "double"}
U = {"k": "integer", "a": "integer", "c": "double", "s": "varchar"}
VALUES: dict[str, list[Any]] = {
    "integer": [None, 0, 1, 2, 3, -1], "bigint": [None, 0, 1, 2, -5], "varchar": [None, "", "a", "b", "B", "ä"],
    "timestamp": [None, "2024-01-01", "2024-01-01 12:00:00", "2024-02-01"], "boolean": [None, True, False],
    "double": [None, 0.0, -0.0, 0.5, 1.0, float("nan"), float("inf")], "date": [None, "2024-01-01", "2024-02-01"],
}  # fmt: skip


def random_query(draw: random.Random) -> str:
    """Return a query over `t` and `u` that DuckDB most probably takes."""
    one = draw.choice
    predicates = [
        "a > 1",
        "b is not null",
        "s <> 'a'",
        "a = b",
        "f < 1.0",
        "not (a = 2)",
        "k in (1, 2)",
        "d > timestamp '2024-01-01'",
    ]

    def where(prefix: str = "") -> str:
        found = draw.sample(predicates, draw.randint(0, 3))
        joined = one([" and ", " or "]).join(prefix + each if not each.startswith("not") else each for each in found)
        return f" where {joined}" if found and not prefix else ""

    first = f"x as (select k, a {one(['+ 1', '* 2', ''])} as a, b, s, d, f, coalesce(a, b) as ab from t{where()})"
    second = one([
        f"y as (select k, sum(a) as a, count(*) as n, max(s) as s from x{where()} group by k)",
        "y as (select distinct k, a, s, 1 as n from x)",
        "y as (select k, a, s, 1 as n from x union all select k, a, s, 2 as n from u)",
        "y as (select k, a, s, ab as n from x)",
    ])  # fmt: skip
    body = one([
        "select y.k, y.a, y.n, u.c from y left join u on y.k = u.k and y.a > u.a",
        "select k, a, n, s from y where exists (select 1 from u where u.k = y.k)",
        "select y.k, x.a * y.n as p, x.a - y.a as q, upper(x.s) as s from x join y using (k)",
        "select k, sum(n) as n, min(a) as a, avg(a + n) as m from y group by k having count(*) > 0",
        "select k, a, sum(n) over (partition by k order by a) as w, row_number() over (order by k, a, n) as r from y",
        "select * from y",
        "select k, case when a > 1 then n else 0 end as c, a / 2 as h, (a + n) + 1 as z, n - (a - 1) as v from y",
        "select distinct a, n from y order by a, n limit 3",
    ])  # fmt: skip
    return f"with {first}, {second} {body}"


def edit(sql: str, draw: random.Random) -> str | None:
    """Change a query in one to three random places; None if the result is no query."""
    try:
        query = parse_one(sql, dialect="duckdb")
        for _ in range(draw.choice((1, 1, 2, 3))):
            query = draw.choice(_EDITS)(query, draw) or query
        return query.sql("duckdb", comments=False, normalize_functions=False)
    except (SqlglotError, ValueError, IndexError, AttributeError, KeyError):
        return None


def _pick(query: exp.Expr, draw: random.Random, *kinds: type[exp.Expr]) -> Any:
    return draw.choice(list(query.find_all(*kinds)))


def _swap(query: exp.Expr, draw: random.Random) -> None:
    found = _pick(query, draw, exp.Binary)
    left, right = found.this, found.expression
    found.set("this", right.copy())
    found.set("expression", left.copy())


def _turn(query: exp.Expr, draw: random.Random) -> None:
    """Turn a comparison round, so that it means the same."""
    found = _pick(query, draw, exp.GT, exp.GTE, exp.LT, exp.LTE)
    turned = {exp.GT: exp.LT, exp.LT: exp.GT, exp.GTE: exp.LTE, exp.LTE: exp.GTE}[type(found)]
    found.replace(turned(this=found.expression.copy(), expression=found.this.copy()))


def _operator(query: exp.Expr, draw: random.Random) -> None:
    kinds = draw.choice([
        (exp.GT, exp.GTE, exp.LT, exp.LTE, exp.EQ, exp.NEQ), (exp.Add, exp.Sub, exp.Mul), (exp.And, exp.Or),
        (exp.Div, exp.IntDiv), (exp.Sum, exp.Min, exp.Max, exp.Avg, exp.Count),
    ])  # fmt: skip
    found = _pick(query, draw, *kinds)
    found.replace(
        draw.choice(kinds)(**{name: each for name, each in found.args.items() if name in ("this", "expression")})
    )


def _literal(query: exp.Expr, draw: random.Random) -> None:
    found = _pick(query, draw, exp.Literal)
    new = draw.choice(["a", "b", ""]) if found.is_string else draw.choice([0, 1, 2, 1.0])
    found.replace(exp.Literal.string(new) if found.is_string else exp.Literal.number(new))


def _column(query: exp.Expr, draw: random.Random) -> None:
    one, other = _pick(query, draw, exp.Column), _pick(query, draw, exp.Column)
    one.replace(other.copy())


def _alias(query: exp.Expr, draw: random.Random) -> None:
    """Let one selected expression take the name of another, or a new one."""
    found = _pick(query, draw, exp.Alias)
    names = [each.alias for each in query.find_all(exp.Alias)] + [each.name for each in query.find_all(exp.Column)]
    found.set("alias", exp.to_identifier(draw.choice([*names, "fresh"])))


def _rename(query: exp.Expr, draw: random.Random) -> None:
    """Rename a CTE or an alias of a table, wherever it is named."""
    old = _pick(query, draw, exp.TableAlias).name
    new = draw.choice(["renamed", "T", "z"])
    for each in query.find_all(exp.Identifier):
        is_name = isinstance(each.parent, exp.Column) and each.arg_key == "table"
        if each.this == old and (is_name or isinstance(each.parent, (exp.TableAlias, exp.Table))):
            each.set("this", new)


def _clauses(query: exp.Expr, draw: random.Random) -> None:
    found = _pick(query, draw, exp.Select)
    if found.args.get("where") and draw.random() < 0.5:
        found.set("where", None)
    else:
        found.where(draw.choice(["1 = 1", "true", "k = k", "k > 0", "1 = 2", "a is not null"]), copy=False)


def _join(query: exp.Expr, draw: random.Random) -> None:
    found = _pick(query, draw, exp.Join)
    found.set("side", draw.choice([None, "LEFT", "RIGHT", "FULL"]))
    if found.args.get("kind") is None and draw.random() < 0.3:
        found.set("kind", "INNER" if not found.args.get("side") else "OUTER")


def _distinct(query: exp.Expr, draw: random.Random) -> None:
    found = _pick(query, draw, exp.Select, exp.Union)
    if isinstance(found, exp.Union):
        found.set("distinct", not found.args.get("distinct"))
    else:
        found.set("distinct", None if found.args.get("distinct") else exp.Distinct())


def _wrap(query: exp.Expr, draw: random.Random) -> None:
    """Read a table through a query that selects all of it, or some of it under other names."""
    found = _pick(query, draw, exp.Table)
    alias = found.alias_or_name
    inner = found.copy()
    inner.set("alias", None)
    text = draw.choice(["*", "*", "* exclude (s)", "*, 1 as extra", "* replace (k + 1 as k)"])
    found.replace(exp.select(text, dialect="duckdb").from_(inner).subquery(alias))


def _inline(query: exp.Expr, draw: random.Random) -> None:
    """Write a CTE where it is read."""
    cte = _pick(query, draw, exp.CTE)
    for table in list(query.find_all(exp.Table)):
        if table.name == cte.alias and not table.find_ancestor(exp.CTE):
            table.replace(cte.this.copy().subquery(table.alias_or_name))


def _select(query: exp.Expr, draw: random.Random) -> None:
    found = _pick(query, draw, exp.Select)
    if len(found.expressions) > 1 and draw.random() < 0.4:
        found.expressions.pop(draw.randrange(len(found.expressions)))
    elif draw.random() < 0.5:
        draw.shuffle(found.expressions)
        found.set("expressions", list(found.expressions))
    else:
        found.select(
            draw.choice(["1 as more", "k as again", "count(*) as more", "a as more", "unnest([1, 2]) as more"]),
            copy=False,
        )


def _expression(query: exp.Expr, draw: random.Random) -> None:
    found = _pick(query, draw, exp.Column)
    name = found.sql("duckdb")
    text = draw.choice([
        "coalesce({0}, 0)", "cast({0} as double)", "cast({0} as real)", "nullif({0}, 1)", "{0} + 0", "-({0})", "({0})",
        "upper({0})", "coalesce({0}, {0})", "{0} * 1", "abs({0})",
    ])  # fmt: skip
    found.replace(parse_one(text.format(name), dialect="duckdb"))


def _group(query: exp.Expr, draw: random.Random) -> None:
    found = _pick(query, draw, exp.Group)
    keys = list(found.expressions)
    draw.shuffle(keys)
    found.set(
        "expressions", draw.choice([keys, [exp.Literal.number(at + 1) for at in range(len(keys))], keys[:-1] or keys])
    )


def _order(query: exp.Expr, draw: random.Random) -> None:
    found = _pick(query, draw, exp.Ordered)
    found.set(draw.choice(["desc", "nulls_first"]), draw.choice([True, False]))


_EDITS: list[Callable[[exp.Expr, random.Random], Any]] = [
    _swap, _swap, _turn, _operator, _literal, _column, _alias, _rename, _rename, _clauses, _join, _distinct, _wrap,
    _wrap,    _inline, _inline, _select, _select, _expression, _group, _order,
]  # fmt: skip


def fill(connection: duckdb.DuckDBPyConnection, table: str, columns: dict[str, str], draw: random.Random) -> None:
    """Make a table of a few random rows, with many nulls and many equal values."""
    quoted = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
    connection.execute(f"create or replace table {table} ({quoted})")
    rows = [[draw.choice(_values(kind)) for kind in columns.values()] for _ in range(draw.randint(3, 12))]
    connection.executemany(f"insert into {table} values ({', '.join('?' * len(columns))})", rows)


def _values(kind: str) -> list[Any]:
    kind = kind.lower()
    for name, values in VALUES.items():
        if kind.startswith(name):
            return values
    return [None, "2024-01-01 00:00:00+00"] if "time zone" in kind else [None, 0, 1]


def answers(connection: duckdb.DuckDBPyConnection, sql: str, columns: list[str]) -> list[str] | None:
    """Return the rows of a query in some of its columns, sorted; equal values that are not the same are told apart."""
    try:
        result = connection.execute(sql)
        names = [each[0].lower() for each in result.description]
        at = [names.index(name) for name in columns]
        return sorted(repr([row[each] for each in at]) for row in result.fetchall())
    except (duckdb.Error, ValueError):
        return None
