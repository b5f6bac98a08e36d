"""Edits of a query after which something is another value on some table: none of them is called the same."""

from __future__ import annotations

import pytest

from feature_sync.sql.plan import Tables, UnreadableQuery, compare, form_of

TABLES = Tables(
    "duckdb", {'"w"."main"."flights"': ("flights", None), '"w"."main"."planes"': ("planes", ("tailnum", "seats"))}
)
FLIGHTS = '"w"."main"."flights"'
WINDOW = (
    "with f as (select tailnum, at, delay, carrier from flights where delay > 3) select tailnum, at, sum(delay) over "
    "(partition by tailnum order by at rows between 5 preceding and current row) as d, delay - 1 as e, carrier in "
    "('AA', 'UA') as big, 'x' || carrier as t from f"
)
UNION = "select tailnum, delay from flights union all select tailnum, late from flights"
FIRST = "with a as (select tailnum, delay from flights order by at limit 10) select tailnum, delay from a"
SELF = (
    "with a as (select tailnum, max(delay) as m from flights group by tailnum) select x.tailnum, x.m, y.m as n from a x"
    " join a y on x.tailnum = y.tailnum where x.m > y.m"
)
JOIN = "select f.tailnum, p.seats from flights f left join planes p on f.tailnum = p.tailnum and p.seats > 20"
DIFFERENT = [
    (WINDOW, "5 preceding", "6 preceding"), (WINDOW, "order by at", "order by at desc"),
    (WINDOW, "partition by tailnum", "partition by carrier"), (WINDOW, "delay - 1", "1 - delay"),
    (WINDOW, "'AA', 'UA'", "'AA', 'DL'"), (WINDOW, "'x' || carrier", "carrier || 'x'"), (WINDOW, "> 3", ">= 3"),
    (WINDOW, "select tailnum, at, sum", "select distinct tailnum, at, sum"),
    (WINDOW, "sum(delay)", "sum(cast(delay as double))"),
    (UNION, "union all", "union"), (UNION, "late", "delay"), (UNION, "union all", "union all by name"),
    (UNION, "union all", "except"), (FIRST, "limit 10", "limit 11"), (FIRST, "order by at", "order by late"),
    (FIRST, " order by at", ""), (SELF, "x.m > y.m", "y.m > x.m"), (SELF, "y.m as n", "x.m as n"),
    (SELF, "max(", "min("), (JOIN, "and p.seats > 20", "where p.seats > 20"), (JOIN, "left join", "full join"),
    (JOIN, "left join", "right join"), (JOIN, "left join", "semi join"),
    ("select now() as n from flights", "now()", "current_date"),
    ("select a / 2 as h from flights", "a / 2", "a // 2"), ("select a * (1 + 2) as h from flights", "(1 + 2)", "1 + 2"),
    ("select a - (b - c) as h from flights", "(b - c)", "b - c"),
    ("select a + b + c as h from flights", "a + b + c", "c + b + a"),
    ("select coalesce(a, b) as h from flights", "a, b", "b, a"),
    ("select cast(a as varchar) as h from flights", "varchar", "double"),
    ("select cast(a as real) as h from flights", "real", "float8"),
    ("select a::real as h, b::float as i from flights", "a::real as h, b::float as i", "a::float as h, b::real as i"),
    ("select try_cast(a as integer) as h from flights", "try_cast", "cast"),
    ("select case when a > 3 then 1 end as h from flights", "then 1", "then 1 else 0"),
    ("select a as h from flights where not (a > 1)", "not (a > 1)", "a <= 1"),
    ("select a as h from flights where a = b", "a = b", "a is not distinct from b"),
    ("select a as h from flights where a > 1 or b > 1 and c > 1", "a > 1 or b > 1 and", "(a > 1 or b > 1) and"),
    ("select count(*) as h from flights", "count(*)", "count(a)"),
    ("select sum(a) as h from flights", "sum(a)", "sum(distinct a)"),
    ("select sum(a) filter (where b > 1) as h from flights", "b > 1", "b > 2"),
    ("select a as h from flights", "select a as h", "select a as h, unnest([1, 2]) as i"),
    ("with x as (select a, b from flights) select a as h from x", "a, b from", "a, unnest(b) as b from"),
    ("with x as (select 1 as h, a from flights) select h from x", "1 as h, a from", "1 as h, max(a) as a from"),
    ("select distinct a as h, b from flights", ", b from", " from"),
    ("with x as (select distinct a, b from flights) select a as h from x", "a, b from", "a from"),
    ("select l + r as h from flights", "l + r", "r + l"),  # lists are put together by +, too
    ("select 'a' || b as h from flights order by h limit 1", "order by h", "order by h desc"),
    ("select a as h from flights order by a limit 3", "order by a", "order by a nulls first"),
    ("select distinct on (a) a as h, b from flights order by a, b", "order by a, b", "order by a, b desc"),
    ("select a as h from flights where exists (select 1 from planes p where p.seats = flights.a)", "= fl", "> fl"),
    ("select h from (values (1, 2)) as v (h, i)", "(h, i)", "(i, h)"),
    ("select x.h from (select a, b from flights) as x (h, i)", "(h, i)", "(i, h)"),
    ("select * from planes", "*", "* exclude (seats)"), ("select * from planes", "*", "* replace (seats + 1 as seats)"),
    ("select a as h, b as i from flights group by h, i", "a as h, b as i", "b as h, a as i"),
    ("select s.a as h from flights", "s.a", "s.b"),
    ("select list_transform(l, x -> x + 1) as h from flights", "x + 1", "x + 2"),
    ("select interval '1 day' as h from flights", "1 day", "24 hours"),
    ("select a as h from flights tablesample 10%", "10%", "20%"),
    ("select f.a as h from flights f asof join planes p on f.a >= p.seats", "asof join", "join"),
    ("select sum(a) as h from flights group by rollup (b)", "rollup (b)", "cube (b, c)"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "old", "new"), DIFFERENT, ids=[f"{old} to {new}" for _, old, new in DIFFERENT])
def test_what_differs_is_never_called_the_same(query, old, new):
    assert old in query
    assert not is_same(query, query.replace(old, new))


SAME = [
    ("select a from flights where a = b and b > 1", "SELECT a FROM flights WHERE 1 < b AND b = a"),
    ("select a from flights where a <> 1", "select a from flights where 1 != a"),
    ("select a from flights f", "select f.a from flights as f"),
    ("select a from flights order by a", "select a from flights"),
    (
        "select x.a from flights x inner join planes y on x.a = y.seats",
        "select p.a from flights p join planes q on p.a = q.seats",
    ),
    ("select a from flights left outer join planes on b = c", "select a from flights left join planes on b = c"),
    ("with x as (select a, b from flights) select a from x", "select a from (select a from flights) y"),
    ("select a from flights", "with f as (select * from flights) select * from (select a from f)"),
    ("select sum(a) as h, b from flights group by b", "select sum(a) as h, b from flights group by 2"),
    ("select sum(a) as h, b, c from flights group by b, c", "select sum(a) as h, b, c from flights group by c, b"),
    ("select count(*) + 1 as h from flights", "select 1 + count(*) as h from flights"),
    (
        "select a from flights where a in (select seats from planes)",
        "select (a) from flights where a in (select (seats) from planes)",
    ),
    (
        "select row_number() over (order by a) as h from flights",
        "select row_number() over(order by a asc) H from flights",
    ),
    ("select a::int as h from flights", "select cast(a as integer) as h from flights"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), SAME)
def test_what_is_written_otherwise_is_the_same(old, new):
    assert is_same(old, new)
    assert is_same(new, old)


def is_same(old: str, new: str) -> bool:
    try:
        before, after = (form_of(each.replace("flights", FLIGHTS, 1), TABLES) for each in (old, new))
    except UnreadableQuery:
        return False
    names = [*(before.names or ("h", "a", "tailnum", "seats")), *(after.names or ())]
    differing = compare(before, after, names)
    return not differing.rows and not differing.columns


@pytest.mark.parametrize("query", [
    "select", "select 1; select 2", "create table x as select 1", "insert into x select 1", "pivot t on a using sum(b)",
    "with x as (insert into y select 1 returning *) select * from x", "from", "select * from (t join u using (k))",
    "select " + "(" * 3000 + "1" + ")" * 3000,
])  # fmt: skip
def test_what_is_not_understood_is_said_and_never_compared(query):
    with pytest.raises(UnreadableQuery):
        form_of(query, TABLES)


def test_the_dialects_fold_names_as_their_warehouses_do():
    quoted, plain = 'select "A" as x from t', "select a as x from t"
    assert form_of(quoted, Tables("duckdb", {})).body == form_of(plain, Tables("duckdb", {})).body
    assert not compare(*(form_of(each, Tables("duckdb", {})) for each in (quoted, plain)), ["x"]).columns
    assert compare(*(form_of(each, Tables("postgres", {})) for each in (quoted, plain)), ["x"]).columns
    names = ("select a from `p`.`d`.`T`", "select a from `p.d.T`", "select a from `p`.`d`.`t`")
    whole, parts, other = (form_of(each, Tables("bigquery", {"`p`.`d`.`T`": ("t", None)})) for each in names)
    assert whole.body == parts.body != other.body
