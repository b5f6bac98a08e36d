"""What the strategies of a point-in-time join share: named steps, the views to join, and the plan they return."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlglot import exp

from feature_sync.definitions import Selection, format_duration
from feature_sync.sql.columns import TakenNames, ascending, extend, is_not_null, named, quoted
from feature_sync.sql.validity import still_answers
from feature_sync.sql.view_query import ViewQuery

SPINE = "spine"
_LONGEST_PREFIX = 40


@dataclass(frozen=True, slots=True)
class Names:
    """Names for the query's own columns, which no column of a spine or a view has."""

    taken: TakenNames
    asked_at: str
    moment: str
    is_asked: str

    def own(self, name: str) -> str:
        """Return the name, with underscores appended if it is taken."""
        return self.taken.unused(name)


def names_for(taken: Iterable[str]) -> Names:
    """Choose names that differ from all taken ones."""
    known = TakenNames(taken)
    return Names(known, *(known.unused(name) for name in ("_asked_at", "_moment", "_is_asked")))


class Step(NamedTuple):
    """One named step of the query, and the comment that explains it.

    `is_kept` is True to evaluate it once and keep the rows, False to evaluate it for each step that reads it, and None
    to leave that to the warehouse.
    """

    name: str
    query: exp.Query
    comment: str
    is_kept: bool | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One view of a service in a query, and the names of its steps and columns."""

    selection: Selection
    query: ViewQuery
    prefix: str
    outputs: Mapping[str, str]
    """The name of each feature in the result."""
    is_restricted: bool = False
    """Whether to read only the rows of the spine's entities."""

    @property
    def reference(self) -> str:
        """The view's name, for comments."""
        return self.selection.view.reference

    def step(self, role: str) -> str:
        """Name one of the view's steps."""
        return f"{self.prefix}_{role}"

    def key_pairs(self) -> list[tuple[str, str]]:
        """Return pairs of the spine's column and the view's join key."""
        return list(zip(self.selection.spine_keys, self.selection.view.join_keys, strict=True))

    def same_keys(self, asked: str, rows: str) -> list[exp.Expr]:
        """Compare keys as typed columns, so that a null key matches nothing.

        The step `asked` has the names of the spine's columns, the step `rows` those of the view's join keys.
        """
        return [quoted(key, of=asked).eq(quoted(join_key, of=rows)) for key, join_key in self.key_pairs()]

    def alive(self, moment: exp.Expr, rows: str) -> list[exp.Expr]:
        """Return the conditions on age and end under which the newest available row answers."""
        return still_answers(self.query, moment, of=rows)

    def features(self, rows: str) -> list[exp.Expr]:
        """Select the features from a step, under their names in the result."""
        return [named(quoted(name, of=rows), self.outputs[name]) for name in self.selection.features]

    @property
    def has_defaults(self) -> bool:
        """Whether the query must distinguish a null answer from no answer."""
        return any(self.selection.view.feature(name).default is not None for name in self.selection.features)

    def age(self) -> str:
        """Return which rows still answer, for a comment."""
        ttl = self.selection.view.ttl
        return "of any age" if ttl is None else f"no older than {format_duration(ttl)}"


@dataclass(frozen=True, slots=True)
class Group:
    """Views that are asked with the same columns of the spine by the same strategy, so that they can share steps.

    `spine` is the step that holds the spine's columns so far.
    """

    questions: tuple[Question, ...]
    names: Names
    spine: str
    prefix: str

    @property
    def spine_keys(self) -> tuple[str, ...]:
        """The spine's columns that identify the entity."""
        return self.questions[0].selection.spine_keys

    @property
    def references(self) -> str:
        """The views' names, for comments."""
        return ", ".join(each.reference for each in self.questions)

    def step(self, role: str) -> str:
        """Name a step that the views share."""
        return f"{self.prefix}_{role}"

    def found(self, question: Question) -> str:
        """Name the column that is true if a row of this view answered."""
        return self.names.own(f"{question.prefix}_found")

    def moments_asked(self) -> exp.Select:
        """Select each distinct pair of keys and moment in the spine; without nulls, which no row answers."""
        keys = dict.fromkeys(self.spine_keys)
        needed = (*keys, self.names.asked_at)
        return (
            exp.select(*(quoted(key) for key in keys), named(quoted(self.names.asked_at), self.names.moment))
            .distinct()
            .from_(step_table(SPINE))
            .where(*(is_not_null(quoted(name)) for name in needed))
        )

    def begin_answers(self, asked: str) -> exp.Select:
        """Begin a step with an answer for each pair of keys and moment; the strategy joins the views' rows to it."""
        columns = (*dict.fromkeys(self.spine_keys), self.names.moment)
        return exp.select(*(quoted(name, of=asked) for name in columns)).from_(step_table(asked))

    def select_answer(self, answers: exp.Select, question: Question, rows: str) -> exp.Select:
        """Select a view's features from its joined rows; if defaults need it, also whether a row was joined.

        Changes `answers` in place: a copy for each view would make the time quadratic.

        Args:
            answers: The step of answers so far.
            question: The view.
            rows: The step or alias of the joined rows.
        """
        extend(answers, question.features(rows))
        if not question.has_defaults:
            return answers
        has_row = is_not_null(quoted(question.query.event_timestamp_name, of=rows))
        return extend(answers, [named(has_row, self.found(question))])

    def join_answers(self, steps: list[Step]) -> Plan:
        """Return the plan of steps of which the last holds an answer for each pair of keys and moment asked."""
        answers = steps[-1].name
        keys = dict.fromkeys(self.spine_keys)
        same: list[exp.Expr] = [quoted(key, of=SPINE).eq(quoted(key, of=answers)) for key in keys]
        same.append(quoted(self.names.asked_at, of=SPINE).eq(quoted(self.names.moment, of=answers)))
        found = [
            Answer(
                question=question,
                values={name: quoted(output, of=answers) for name, output in question.outputs.items()},
                found=quoted(self.found(question), of=answers),
            )
            for question in self.questions
        ]
        return Plan(steps=steps, spine=self.spine, joins=[left_join(answers, same)], answers=found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Expressions for a view's features in the result, after the joins of its plan.

    `found` is true if a row was joined. `holds` is true if that row answers; None if the joins have checked it.
    """

    question: Question
    values: Mapping[str, exp.Expr]
    found: exp.Expr
    holds: exp.Expr | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to answer a group: its steps, and what to join to the spine.

    `spine` is the step that holds the spine's columns from here on; its alias in `joins` is "spine".
    """

    steps: list[Step]
    spine: str
    joins: list[exp.Join]
    answers: list[Answer]


def highest_so_far(value: exp.Expr, *, keys: Iterable[exp.Expr], order: Iterable[exp.Expr]) -> exp.Window:
    """Return the highest value so far among the rows of the same keys.

    Args:
        value: The value.
        keys: The columns that partition the rows.
        order: The columns that order them, never null; ascending unless they say otherwise. They are written with
            NULLS FIRST because BigQuery accepts nothing else in an aggregate's window.
    """
    return exp.Window(
        this=exp.Max(this=value),
        partition_by=[key.copy() for key in keys],
        order=exp.Order(
            expressions=[
                each if isinstance(each, exp.Ordered) else ascending(each.copy(), nulls_first=True) for each in order
            ]
        ),
        spec=exp.WindowSpec(kind="ROWS", start="UNBOUNDED", start_side="PRECEDING", end="CURRENT ROW"),
    )


def answer_of(question: Question, rows: str, found: exp.Expr, holds: exp.Expr | None = None) -> Answer:
    """Return the answer in a step whose columns have the view's own names.

    Args:
        question: The view.
        rows: The step.
        found: True if a row was joined.
        holds: True if that row answers; None if the joins have checked it.
    """
    values = {name: quoted(name, of=rows) for name in question.selection.features}
    return Answer(question=question, values=values, found=found, holds=holds)


def left_join(name: str, conditions: list[exp.Expr], *, method: str | None = None) -> exp.Join:
    """Left-join a step to the spine; `method` is a method of joining, such as ASOF.

    Args:
        name: The step.
        conditions: Its conditions, all of which must hold.
        method: The method of joining, such as ASOF; None for the usual one.
    """
    join = exp.Join(this=step_table(name), side="LEFT", on=exp.and_(*conditions))
    if method is not None:
        join.set("method", method)
    return join


def step_table(name: str) -> exp.Table:
    """Refer to a step."""
    return exp.Table(this=exp.to_identifier(name, quoted=True))


def prefix_for(name: str, taken: TakenNames) -> str:
    """Take the prefix of steps of a view or an entity: short enough for every warehouse, and unlike all others.

    BigQuery reads a dot in the name of a table as the end of a dataset's name, even in quotes.
    """
    return taken.take(name.replace(".", "_").encode()[:_LONGEST_PREFIX].decode(errors="ignore"))
