"""What the pushes of all views of one command share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from feature_sync.clock import Clock
from feature_sync.online.base import OnlineStore
from feature_sync.push.report import Progress, PushOptions
from feature_sync.warehouses.places import Places


@dataclass(frozen=True, slots=True, kw_only=True)
class PushContext:
    """Source, destination, clock and options of a push.

    Args:
        open_places: Connects to where rows and state are; takes `stopped`, which ends a wait for it by returning True.
        online: The online store.
        clock: The moment of the push.
        options: How to push.
        invocation_id: The id of the dbt command that built the rows, if it is known.
        progress: Called with a view's reference and the number of rows written so far.
    """

    open_places: Callable[..., Places]
    online: OnlineStore
    clock: Clock
    options: PushOptions
    invocation_id: str | None
    progress: Progress
