"""The rows of a view that a strategy reads: all that can answer, or only those of the spine's entities."""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.columns import is_not_null, named, quoted
from feature_sync.sql.training.steps import SPINE, Group, Question, Step, step_table


def rows_step(group: Group, question: Question, *, are_read_twice: bool) -> Step:
    """Select the rows that can answer, with everything that orders them if ties have to be broken.

    A table that is read twice is not kept, as reading it again is faster than a copy; the few rows of a restricted one
    may be. A view may be kept: when evaluated again, it may choose differently among ties of its own.
    """
    query, view = question.query, question.selection.view
    rows = query.plain_rows(
        question.selection.features if query.is_unique else None,
        decisive=not query.is_unique and view.known_at is not None,
    )
    proven = "; one for each entity and event timestamp" if query.is_unique else ""
    is_kept = False if view.relation.is_table and are_read_twice and not question.is_restricted else None
    comment = f"{question.reference}: rows that can answer{proven}."
    return Step(question.step("rows"), restricted(group, question, rows), comment, is_kept)


def entities_steps(group: Group) -> list[Step]:
    """Return the step with the spine's entities, if any view's rows are restricted to them.

    Its columns have names that no view has, so that a view's own columns need no qualifier beside it.
    """
    if not any(each.is_restricted for each in group.questions):
        return []
    keys = [named(quoted(key), _key(group, place)) for place, key in enumerate(group.spine_keys)]
    known = [is_not_null(quoted(key)) for key in dict.fromkeys(group.spine_keys)]
    entities = exp.select(*keys).distinct().from_(step_table(SPINE)).where(*known)
    return [Step(_entities(group), entities, "The entities that the spine asks for; rows of no others are read.")]


def restricted(group: Group, question: Question, rows: exp.Select) -> exp.Select:
    """Leave out the rows of entities that the spine does not ask for, if the question says so."""
    if not question.is_restricted:
        return rows
    same = [
        question.query.key_columns[key].eq(quoted(_key(group, place), of=_entities(group)))
        for place, key in enumerate(question.selection.view.join_keys)
    ]
    rows = rows.from_(question.query.aliased_table(), copy=False)
    return rows.join(step_table(_entities(group)), on=exp.and_(*same), copy=False)


def _entities(group: Group) -> str:
    return group.step("entities")


def _key(group: Group, place: int) -> str:
    return group.names.own(f"_key_{place + 1}")
