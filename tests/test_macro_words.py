"""The package's macros write SQL for the warehouses that we ran; on others they say so, in place of SQL that fails."""

from __future__ import annotations

import datetime
import re
from functools import cache
from types import SimpleNamespace

import jinja2
import pytest

from tests.support.projects import EXAMPLE

FILES = [path for folder in ("package", "example") for path in sorted((EXAMPLE / "macros" / folder).rglob("*.sql"))]
DISPATCHED = sorted({name for path in FILES for name in re.findall(r"adapter\.dispatch\('(\w+)'", path.read_text())})
ANSI = {"as_double", "as_text", "instant", "now"}
"""Their default is a CAST or CURRENT_TIMESTAMP, which every warehouse reads."""
NO_SQL = {"clustered_by", "partitioned_by_day", "types_of"}
"""Their default asks dbt or gives nothing."""
RUN_BY_DBT = {"keep_note", "write_note"}
"""They run statements, which only dbt can: tests/test_watermarks.py builds projects with them on every warehouse."""
ARGUMENTS = {"window": "1h", "bucket": "1h", "duration": "1h", "closed": "right", "infinite": False, "minutes": 5}
PARENTS = {"redshift": ["postgres"], "databricks": ["spark"]}  # as dbt has it


class CompilationError(Exception):
    """What dbt ends with where a macro raises a compiler error."""


class Package:
    """The macros of the package under their own names, on one warehouse; dispatch searches as dbt does."""

    def __init__(self, warehouse):
        self._prefixes = [warehouse, *PARENTS.get(warehouse, []), "default"]
        environment = jinja2.Environment(extensions=["jinja2.ext.do"], undefined=jinja2.StrictUndefined)
        environment.globals |= {
            "adapter": SimpleNamespace(dispatch=lambda name, package: self._dispatched(name)),
            "exceptions": SimpleNamespace(raise_compiler_error=self._refuse),
            "feature_sync": self,
            "modules": SimpleNamespace(re=re, datetime=datetime),
            "project_name": "mine",
            "return": self._return,
            "target": SimpleNamespace(type=warehouse),
            "var": lambda name, default=None: default,
        }
        tests = re.compile(r"{% test .*?{% endtest %}", re.DOTALL)
        text = "\n".join(tests.sub("", path.read_text()) for path in FILES)
        self._macros = environment.from_string(text).module

    def __getattr__(self, name):
        macro = getattr(self._macros, name)

        def called(*arguments, **named):
            self._returned = []
            text = macro(*arguments, **named)
            return self._returned.pop() if self._returned else text

        called.arguments = macro.arguments
        return called

    def _dispatched(self, name):
        return next(
            getattr(self, f"{each}__{name}") for each in self._prefixes if hasattr(self._macros, f"{each}__{name}")
        )

    def _refuse(self, message):
        raise CompilationError(message)

    def _return(self, value):
        self._returned.append(value)
        return ""

    def write(self, name):
        """What a dispatched macro writes, of arguments that are called like its parameters."""
        macro = self._dispatched(name)
        return str(macro(*(ARGUMENTS.get(each, each) for each in macro.arguments)))


@cache
def package_on(warehouse):
    return Package(warehouse)


@pytest.mark.parametrize("warehouse", ["snowflake", "trino", "redshift"])
@pytest.mark.parametrize("name", sorted(set(DISPATCHED) - ANSI - NO_SQL - RUN_BY_DBT))
def test_a_warehouse_without_words_of_its_own_is_told_which_warehouses_have_them(name, warehouse):
    if warehouse == "redshift" and name in READ_BY_REDSHIFT:
        assert package_on(warehouse).write(name)
        return
    with pytest.raises(CompilationError) as refused:
        package_on(warehouse).write(name)
    assert f"the macro {name} writes SQL for duckdb, postgres, bigquery and spark, and has none for {warehouse}" in str(
        refused.value
    )
    assert f"{warehouse}__{name}" in str(refused.value)


READ_BY_REDSHIFT = {
    *("as_if_now", "at_clock", "clock_in_utc", "earlier", "md5_digits", "next_day", "plus_minutes"),
    *("to_utc", "to_wall_clock"),
}
"""What PostgreSQL says, dbt lets Redshift say too; it reads these."""


@pytest.mark.parametrize("name", sorted(set(DISPATCHED) - NO_SQL - RUN_BY_DBT))
def test_databricks_says_what_spark_says(name):
    assert package_on("databricks").write(name) == package_on("spark").write(name)


@pytest.mark.parametrize("name", sorted(ANSI))
def test_what_every_warehouse_reads_is_written_for_all(name):
    assert re.match(r"cast\(|current_timestamp$", package_on("snowflake").write(name))


@pytest.mark.parametrize("warehouse", ["duckdb", "postgres", "bigquery"])
@pytest.mark.parametrize("name", sorted(set(DISPATCHED) - NO_SQL - RUN_BY_DBT))
def test_the_warehouses_listed_have_words_for_every_macro(name, warehouse):
    assert package_on(warehouse).write(name)


@pytest.mark.parametrize("aggregate", ["sum", "count_distinct", "last"])
def test_a_macro_that_builds_on_one_without_words_says_the_same(aggregate):
    with pytest.raises(CompilationError, match="has none for snowflake"):
        package_on("snowflake").rolling(aggregate, "amount", "1h", "card", "paid_at", "right")
