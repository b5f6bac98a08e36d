"""The page's wording of definitions (histories, ages, owners, freshness, tests), and its order and links."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from feature_sync.definitions import FeatureService, FeatureView, History, format_duration
from feature_sync.docs.markdown import code, link, one_line, plain
from feature_sync.docs.notes import NamedTest, Owner, UpstreamSource

_DIGITS = re.compile(r"(\d+)")
_HISTORIES = {
    History.EVENTS: "a row for each moment at which something became known",
    History.SNAPSHOT: "a dbt snapshot: each row is valid from one moment until another",
    History.TIMELESS: "timeless: one row for each, which answers any moment",
    History.LATEST_ONLY: "latest only: one row for each, overwritten; served, but not for training",
}


def natural_order(view: FeatureView) -> tuple[str, list[tuple[int, str]]]:
    """Return a sort key: by name, then by version, with v2 before v10."""
    return view.name, [
        (int(each), "") if each.isdecimal() else (-1, each) for each in _DIGITS.split(view.version or "")
    ]


def first_sentence(text: str) -> str:
    """Return the first sentence of a description's first paragraph.

    >>> first_sentence("Orders, e.g. of today. Entity: customer.")
    'Orders, e.g. of today.'
    """
    paragraph = one_line(text.strip().partition("\n\n")[0]).lstrip("# ")
    return re.split(r"(?<=[.!?])\s+(?=[A-Z])", paragraph, maxsplit=1)[0]


def time_fields(view: FeatureView) -> dict[str, str]:
    """Return a view's history with its time columns, its TTL and its lag, each in words; empty text for none."""
    history = _HISTORIES[view.history]
    columns = {
        "event timestamp": view.event_timestamp,
        "valid to": view.valid_to,
        "known at": view.known_at,
        "created timestamp": view.created_timestamp,
    }
    named = ", ".join(f"{name} {code(column)}" for name, column in columns.items() if column)
    zone = f", times of {plain(view.timezone)}" if view.event_timestamp and view.timezone.upper() != "UTC" else ""
    limit = age_limit(view)
    return {
        "History": f"{history}{f' ({named}{zone})' if named else ''}",
        "TTL": f"{limit}: an older row does not answer" if limit else "none: a row of any age answers",
        "Lag": f"{format_duration(view.lag)}: a row is available that long after its time" if view.lag else "",
    }


def age_limit(view: FeatureView) -> str | None:
    """Write the TTL; None if a row of any age answers."""
    return format_duration(view.ttl) if view.ttl else None


def view_link(view: FeatureView) -> str:
    """Link to dbt's page of a view."""
    return link(view.reference, view.relation.unique_id)


def service_link(service: FeatureService) -> str:
    """Link to dbt's page of a service; plain text if the project does not define it."""
    return link(service.name, service.location.node) if service.location else plain(service.name)


def owner_link(owner: Owner | None) -> str:
    """Write an owner, linked to the e-mail address if there is one; empty for None."""
    if owner is None:
        return ""
    return f"[{plain(owner.name)}](mailto:{quote(owner.email, safe='@+')})" if owner.email else plain(owner.name)


def freshness_line(source: UpstreamSource) -> str:
    """Write when dbt calls a source stale, after a link to it."""
    return f"{link(source.name, source.unique_id)} {source.freshness or 'declares no freshness'}"


def linked_tests(tests: Iterable[NamedTest], *, columns: bool = False) -> str:
    """Link to tests; with `columns`, each after the name of its column."""
    return ", ".join(
        link(f"{each.column} {each.label}" if columns and each.column else each.label, each.unique_id) for each in tests
    )


def default_value(default: Any) -> str:
    """Write a default as JSON, text without quotation marks unless it is blank."""
    return default if isinstance(default, str) and default.strip() else json.dumps(default, default=str)
