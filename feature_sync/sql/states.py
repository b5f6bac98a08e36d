"""The state of a push where no warehouse keeps its key unique: written and forgotten by one MERGE each.

A MERGE sees one snapshot and takes effect whole; of two that would change the same row, one fails.
"""

from __future__ import annotations

from sqlglot import exp

from feature_sync.sql.columns import named, quoted

_OLD, _NEW = "old", "new"
_KEYS = ("feature_view", "online_store")
_VALUES = ("revision", "content")


def merge_state(state: exp.Table, view: str, store: str, revision: int, content: str) -> exp.Expr:
    """Write a revision of a state if it follows the one that is there; the first, if none is there."""
    follows = quoted("revision", of=_OLD).eq(exp.Sub(this=quoted("revision", of=_NEW), expression=_number(1)))
    changed = [exp.EQ(this=quoted(name), expression=quoted(name, of=_NEW)) for name in _VALUES]
    columns = (*_KEYS, *_VALUES)
    inserted = exp.Insert(
        this=exp.Tuple(expressions=[quoted(name) for name in columns]),
        expression=exp.Tuple(expressions=[quoted(name, of=_NEW) for name in columns]),
    )
    is_first = quoted("revision", of=_NEW).eq(_number(1))
    new = _row(view, store).select(named(_number(revision), "revision"), named(_text(content), "content"))
    return _merge(
        state,
        new,
        exp.When(matched=True, condition=follows, then=exp.Update(expressions=changed)),
        exp.When(matched=False, condition=is_first, then=inserted),
    )


def forget_state(state: exp.Table, view: str, store: str) -> exp.Expr:
    """Forget a state, should it be there."""
    return _merge(state, _row(view, store), exp.When(matched=True, then=exp.var("DELETE")))


def _merge(state: exp.Table, new: exp.Select, *whens: exp.When) -> exp.Merge:
    return exp.Merge(
        this=exp.alias_(state, exp.to_identifier(_OLD, quoted=True), table=True),
        using=new.subquery(exp.to_identifier(_NEW, quoted=True)),
        on=exp.and_(*(quoted(name, of=_OLD).eq(quoted(name, of=_NEW)) for name in _KEYS)),
        whens=exp.Whens(expressions=list(whens)),
    )


def _row(view: str, store: str) -> exp.Select:
    return exp.select(named(_text(view), "feature_view"), named(_text(store), "online_store"))


def _text(value: str) -> exp.Expr:
    return exp.Literal.string(value)


def _number(value: int) -> exp.Expr:
    return exp.Literal.number(value)
