"""What the served things are called: services, views, features and keys.

Feast's environment imports this too, so it takes the standard library alone.
"""

from __future__ import annotations

from collections.abc import Sequence

PREFIX = "bench"
KEY = "thing_id"
VIEWS = {"narrow": 10, "wide_0": 50, "wide_1": 50, "wide_2": 50}
"""The number of features of each view."""
SERVICES = {"one_of_10": ("narrow",), "one_of_50": ("wide_0",), "three_of_50": ("wide_0", "wide_1", "wide_2")}
"""The views of each service."""
TITLES = {
    "one_of_10": "one view of 10 features",
    "one_of_50": "one view of 50 features",
    "three_of_50": "three views of 50 features",
}
TIMEOUT = 10
"""Seconds that a client waits: on a busy machine no request fails."""
_EVERY_INTEGER = 3
"""Every third feature is an int64; the others are float64."""


def features_of(view: str) -> dict[str, str]:
    """Name the features of a view, and their types."""
    types = ["int64" if at % _EVERY_INTEGER == 0 else "float64" for at in range(VIEWS[view])]
    return {f"{view}_{at}": kind for at, kind in enumerate(types)}


def row_keys(service: str, things: Sequence[int]) -> list[bytes]:
    """Name the Redis keys of all rows of some entities: view by view."""
    return [f"{PREFIX}:{view}:{{{thing}}}".encode() for view in SERVICES[service] for thing in things]
