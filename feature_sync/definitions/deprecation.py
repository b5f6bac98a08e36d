"""Says in words that a version of a feature view is on its way out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from feature_sync.definitions.feature_view import FeatureView


def deprecation(view: FeatureView, views: Iterable[FeatureView], *, today: datetime) -> str | None:
    """Say from when on a view is deprecated, and which of the other views to use then; None where it is not.

    As for dbt itself, `today` is the real one, even where a command's clock stands elsewhere: a date by which people
    change their models has nothing to do with that of the data.
    """
    if view.deprecation_date is None:
        return None
    when = "is deprecated from" if today < view.deprecation_date else "was deprecated on"
    said = f"{view.reference} {when} {view.deprecation_date.date().isoformat()}"
    if view.latest_version:
        return f"{said}; there is no later version" if view.version else said
    latest = next((each.reference for each in views if each.name == view.name and each.latest_version), None)
    return f"{said}; the latest version is {latest}" if latest else said
