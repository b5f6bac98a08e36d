"""What the strategies of a point-in-time join share: named steps, the query's own names, and the plan of one view."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from sqlglot import exp

from feature_sync.definitions import Selection, format_duration
from feature_sync.sql.columns import is_not_null, named, quoted
from feature_sync.sql.times import earlier
from feature_sync.sql.view_query import ViewQuery

SPINE = "spine"
_LONGEST_PREFIX = 40


@dataclass(frozen=True, slots=True)
class Names:
    """Names for the query's own columns, which no column of a spine or a view has."""

    asked_at: str
    moment: str
    newest: str
    found: str
    answered_by: str


class Step(NamedTuple):
    """One named step of the query, and the comment that explains it."""

    name: str
    query: exp.Query
    comment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one view answers: its steps, what to join to the spine, and where its features stand then.

    `spine` is the step that holds the spine's columns from here on; `joins` call it "spine". `holds` is a condition on
    each row joined that the joins have not seen to; `found` tells whether one was joined at all.
    """

    steps: list[Step]
    spine: str
    joins: list[exp.Join]
    source: str
    found: exp.Expr
    holds: exp.Expr | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One view of a service, and the names under which a query asks it."""

    selection: Selection
    query: ViewQuery
    names: Names
    spine: str
    """The step that holds the spine's columns so far."""
    prefix: str = field(default="")

    def step(self, role: str) -> str:
        """Name one of the view's steps."""
        return f"{self.prefix}_{role}"

    def key_pairs(self) -> list[tuple[str, str]]:
        """The spine's column and the view's join key, for each key."""
        return list(zip(self.selection.spine_keys, self.selection.view.join_keys, strict=True))

    def same_keys(self, mine: str, theirs: str) -> list[exp.Expr]:
        """Compare keys as typed columns, so that a null key matches nothing; `mine` holds the spine's columns."""
        return [quoted(key, of=mine).eq(quoted(join_key, of=theirs)) for key, join_key in self.key_pairs()]

    def moments_asked(self) -> exp.Select:
        """Select each pair of keys and moment that the spine asks for once, but for those that nothing can answer."""
        keys = [named(quoted(spine_key), key) for spine_key, key in self.key_pairs()]
        needed = (*dict.fromkeys(self.selection.spine_keys), self.names.asked_at)
        return (
            exp.select(*keys, named(quoted(self.names.asked_at), self.names.moment))
            .distinct()
            .from_(step_table(SPINE))
            .where(*(is_not_null(quoted(name)) for name in needed))
        )

    def alive(self, moment: exp.Expr, rows: str) -> list[exp.Expr]:
        """The conditions by which the newest row available still answers: its age, and its end."""
        view, query = self.selection.view, self.query
        conditions: list[exp.Expr] = []
        if view.ttl is not None:
            oldest = earlier(moment.copy(), view.ttl)
            conditions.append(exp.GTE(this=quoted(query.event_timestamp_name, of=rows), expression=oldest))
        if query.has_end:
            valid_until = quoted(query.valid_until_name, of=rows)
            ahead = exp.LT(this=earlier(moment.copy(), view.lag), expression=valid_until)
            conditions.append(exp.or_(valid_until.copy().is_(exp.null()), ahead))
        return conditions

    def answers(self, rows: str) -> exp.Select:
        """Begin the select of a step that answers: keys, features, and a mark that there is an answer."""
        columns = [quoted(name, of=rows) for name in (*self.selection.view.join_keys, *self.selection.features)]
        return exp.select(*columns, named(exp.true(), self.names.found))

    def join_answers(self, steps: list[Step]) -> Plan:
        """Finish a plan whose last step holds an answer for each pair of keys and moment asked."""
        answers = steps[-1].name
        same = self.same_keys(SPINE, answers)
        same.append(quoted(self.names.asked_at, of=SPINE).eq(quoted(self.names.moment, of=answers)))
        return self.plan(steps, left_join(answers, same), answers)

    def plan(self, steps: list[Step], join: exp.Join, answers: str) -> Plan:
        """Make the plan of a step that is joined to the spine as it is."""
        found = quoted(self.names.found, of=answers)
        return Plan(steps=steps, spine=self.spine, joins=[join], source=answers, found=found)

    def age(self) -> str:
        """Say in a comment which rows still answer."""
        ttl = self.selection.view.ttl
        return "of any age" if ttl is None else f"no older than {format_duration(ttl)}"


def left_join(name: str, conditions: list[exp.Expr], *, method: str | None = None) -> exp.Join:
    """Join a step to the spine, which keeps all its rows."""
    join = exp.Join(this=step_table(name), side="LEFT", on=exp.and_(*conditions))
    if method is not None:
        join.set("method", method)
    return join


def step_table(name: str) -> exp.Table:
    """Refer to a step."""
    return exp.Table(this=exp.to_identifier(name, quoted=True))


def prefix_for(selection: Selection, taken: list[str]) -> str:
    """Name a view's steps after its alias: short enough for every warehouse, and unlike the steps before."""
    prefix = selection.alias.encode()[:_LONGEST_PREFIX].decode(errors="ignore")
    while any(each.casefold().startswith(f"{prefix}_".casefold()) for each in taken):
        prefix = f"{prefix}_"
    return prefix
