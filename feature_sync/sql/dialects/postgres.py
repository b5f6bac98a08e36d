"""PostgreSQL, and Redshift, which was one once."""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.dialects.base import Dialect, call


class Postgres(Dialect):
    """PostgreSQL: an index lets it look rows up one by one."""

    name = "postgres"
    caveat = None
    strategies = ("carry", "lateral")
    longest_name = 63
    looks_up_by_index = True
    # PostgreSQL misjudges how many rows the steps leave, and then merges on the keys alone: every moment asked would
    # meet every row of its entity.
    numbers_across_entities = True
    materializes = True

    def fold(self, name: str) -> str:
        return name.lower()

    def by_code_point(self, text: exp.Expr) -> exp.Expr:
        return exp.Collate(this=text, expression=exp.to_identifier("C", quoted=True))


class Redshift(Dialect):
    """Redshift orders text by code point already, and keeps JSON and arrays in SUPER."""

    name = "redshift"
    longest_name = 127

    def fold(self, name: str) -> str:
        return name.lower()

    def microseconds(self, moment: exp.Expr) -> exp.Expr:
        epoch = self._cast(exp.Literal.string("1970-01-01"))
        return exp.Anonymous(this="DATEDIFF", expressions=[exp.var("MICROSECOND"), epoch, moment])

    def json_text(self, value: exp.Expr) -> exp.Expr:
        return call("JSON_SERIALIZE", value)
