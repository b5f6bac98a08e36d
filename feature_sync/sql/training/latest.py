"""The spine of all entities at one moment: the keys that feature views have, and the moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlglot import exp

from feature_sync.definitions import FeatureService, Relation, Selection
from feature_sync.errors import RequestError, UnknownName
from feature_sync.sql.columns import column, is_not_null, named, table
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.render import render


def entities_query(
    service: FeatureService, of: str | None, moment: datetime, *, moment_name: str, dialect: Dialect
) -> str:
    """Write a query of the keys that views have, each once, with a moment.

    Args:
        service: The service that will answer.
        of: The alias or reference of the view whose entities are asked; None for all views that have every key of the
            service.
        moment: The moment.
        moment_name: The name of its column.
        dialect: The dialect of the warehouse.

    Raises:
        RequestError: No view, or not the one named, has every key of the service.
        UnknownName: The service has no such view.
    """
    asked = named(dialect.moment(moment), moment_name)
    queries = [_keys_of(each, service.join_keys, dialect) for each in _with_every_key(service, of)]
    keys: exp.Query = queries[0]
    for other in queries[1:]:
        keys = exp.union(keys, other)
    rows = keys.subquery(exp.to_identifier("entities", quoted=True))
    return render(exp.select("*", asked).from_(rows), dialect=dialect)


def _with_every_key(service: FeatureService, of: str | None) -> Sequence[Selection]:
    keys = ", ".join(service.join_keys)
    have = [each for each in service.selections if {*each.spine_keys} == {*service.join_keys}]
    if of is not None:
        named_so = [each for each in service.selections if of in (each.alias, each.view.reference)]
        if not named_so:
            raise UnknownName(f"view of {service.name}", of, [each.alias for each in service.selections])
        have = [each for each in named_so if each in have]
        if not have:
            raise RequestError(f"{of} does not have every key of {service.name} ({keys}); give the entities as a frame")
    if not have:
        raise RequestError(
            f"no view of {service.name} has every key of it ({keys}), so which entities there are is not known; give "
            "them as a frame, a file or a model"
        )
    return have


def _keys_of(selection: Selection, order: Sequence[str], dialect: Dialect) -> exp.Select:
    relation = selection.view.relation
    keys = {
        spine_key: column(relation, key)
        for spine_key, key in zip(selection.spine_keys, selection.view.join_keys, strict=True)
    }
    rows = exp.select(*(named(keys[name], name) for name in order)).distinct().from_(table(relation, dialect=dialect))
    return rows.where(*(is_not_null(key.copy()) for key in keys.values()))


def entities_with(relation: Relation, moment: datetime, *, moment_name: str, dialect: Dialect) -> str:
    """Write a query of all rows of a table, with a moment."""
    asked = named(dialect.moment(moment), moment_name)
    return render(exp.select("*", asked).from_(table(relation, dialect=dialect)), dialect=dialect)
