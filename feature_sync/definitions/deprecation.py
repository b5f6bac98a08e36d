"""The notice that a version of a feature view is deprecated."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from feature_sync.definitions.feature_view import FeatureView


def deprecation(view: FeatureView, views: Iterable[FeatureView], *, today: datetime) -> str | None:
    """Return from when a view is deprecated, and which version is the latest; None if it is not deprecated.

    Args:
        view: The view.
        views: All views of the project.
        today: The real time, as dbt itself uses, even if a command runs at a fixed clock: the date by which models must
            change is independent of the date of the data.
    """
    if view.deprecation_date is None:
        return None
    when = "is deprecated from" if today < view.deprecation_date else "was deprecated on"
    notice = f"{view.reference} {when} {view.deprecation_date.date().isoformat()}"
    if view.latest_version:
        return f"{notice}; no later version exists" if view.version else notice
    latest = next((each.reference for each in views if each.name == view.name and each.latest_version), None)
    return f"{notice}; the latest version is {latest}" if latest else notice
