"""Verdicts about a change, and the reasons for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a change does, from nothing to the worst."""

    SAME = "same"
    """Nothing changes."""
    SAFE = "safe"
    """Something is added, or goes that nothing reads."""
    RE_PUSH = "re-push"
    """The next push sends all rows of the view again; no reader notices."""
    MAY_CHANGE = "may change"
    """Values or rows may be other ones: they are not proven to be the same."""
    CANNOT_TELL = "cannot tell"
    """Nothing can be proven; to be treated as `MAY_CHANGE`."""
    BREAKING = "breaking"
    """A feature service in the other state reads it, and would get something else than its model was trained with."""

    @property
    def rank(self) -> int:
        """How bad it is; 0 is nothing."""
        return [*Verdict].index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a verdict is given.

    `services` are those that a breaking change breaks. `of_keys`: it is about join keys, and so about
    the entity.
    """

    verdict: Verdict
    text: str
    services: tuple[str, ...] = ()
    of_keys: bool = False


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst verdict; `SAME` if there is none."""
    return max(verdicts, key=lambda each: each.rank, default=Verdict.SAME)


def breaking(
    text: str, services: Iterable[str], *, otherwise: Verdict = Verdict.RE_PUSH, of_keys: bool = False
) -> Reason:
    """Return a reason that is breaking if services read it, and else the other verdict."""
    broken = tuple(sorted(set(services)))
    return Reason(verdict=Verdict.BREAKING if broken else otherwise, text=text, services=broken, of_keys=of_keys)
