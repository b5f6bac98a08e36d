"""Alerts: what somebody should know of a view after a push, a verification or a status."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum

from feature_sync.definitions import Registry
from feature_sync.json_text import write_document
from feature_sync.push.report import Pushed
from feature_sync.push.status import ViewStatus
from feature_sync.verify.report import Verified


class Kind(StrEnum):
    """What happened."""

    HELD_BACK = "held_back"
    """A view was not pushed, because its rows look wrong, or dbt's last build does not vouch for them."""
    FAILED = "failed"
    """The push of a view failed, or a whole command did."""
    DIFFERENT = "different"
    """Redis differs from the warehouse."""
    STALE = "stale"
    """No row of a view answers any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert; `feature_view` is None if a command failed as a whole. The message holds no value of a row."""

    kind: Kind
    feature_view: str | None
    message: str


def of_push(pushed: Pushed) -> Iterator[Alert]:
    """Yield what to tell of a push; nothing of a dry run."""
    if pushed.is_dry_run:
        return
    if pushed.held_back is not None:
        yield Alert(kind=Kind.HELD_BACK, feature_view=pushed.feature_view, message=pushed.held_back)
    if pushed.failed is not None:
        yield Alert(kind=Kind.FAILED, feature_view=pushed.feature_view, message=pushed.failed)


def of_verified(verified: Verified) -> Iterator[Alert]:
    """Yield what to tell of a verification."""
    if verified.is_equal:
        return
    counts = {kind: getattr(verified, kind) for kind in ("different", "missing", "extra", "overdue")}
    told = (*verified.problems, *(f"{count:,} rows are {kind}" for kind, count in counts.items() if count))
    yield Alert(kind=Kind.DIFFERENT, feature_view=verified.feature_view, message="; ".join(told))


def of_status(status: ViewStatus) -> Iterator[Alert]:
    """Yield what to tell of a status: a view whose rows no longer answer."""
    age, ttl = status.age, status.ttl
    if status.rows == 0 or (age is not None and ttl is not None and age > ttl):
        newest = "there is none" if status.newest is None else f"the newest is of {status.newest:%Y-%m-%d %H:%M:%S}Z"
        within = "" if ttl is None else f" within its TTL of {ttl}"
        yield Alert(
            kind=Kind.STALE, feature_view=status.feature_view, message=f"no row answers any more{within}: {newest}"
        )


def document_of(
    alerts: Iterable[Alert], *, command: str, project: str, target: str | None, at: datetime, registry: Registry | None
) -> str:
    """Return what hooks get, as JSON.

    Args:
        alerts: The alerts.
        command: The command that found them.
        project: The key prefix of the project.
        target: The target of the profile; None if it cannot be read.
        at: When.
        registry: Tells the services of each view; None if the definitions cannot be read.
    """
    return write_document({
        "project": project,
        "target": target,
        "command": command,
        "at": at,
        "alerts": [{**asdict(each), "feature_services": _services(each, registry)} for each in alerts],
    })  # fmt: skip


def _services(alert: Alert, registry: Registry | None) -> list[str]:
    if registry is None:
        return []
    services = registry.feature_services.values()
    return [each.name for each in services if alert.feature_view in {used.view.reference for used in each.selections}]
