"""Everything this package raises on purpose, one kind for each place where a person can mend something."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import ParamSpec, Self, TypeVar

_REFUSES = "feature_sync refuses"
Parameters = ParamSpec("Parameters")
Read = TypeVar("Read")
Otherwise = TypeVar("Otherwise")


class FeatureSyncError(Exception):
    """Whatever is raised on purpose: its text is one line that says what to change."""


class ProjectError(FeatureSyncError):
    """The dbt project, or what dbt wrote for it, cannot be read."""


class ProfileError(FeatureSyncError):
    """`profiles.yml` does not say how to reach the warehouse."""


class DefinitionError(FeatureSyncError):
    """A definition in the dbt project's YAML contradicts itself, or the table it describes.

    `others` are further mistakes that were found with this one.
    """

    def __init__(self, location: Location, message: str) -> None:
        super().__init__(f"{location}: {message}")
        self.location = location
        self.message = message
        self.others: tuple[DefinitionError, ...] = ()


class RequestError(FeatureSyncError):
    """What was asked for does not fit the definitions: a missing key, a name that clashes, a moment too early."""


class WarehouseError(FeatureSyncError):
    """The warehouse could not be reached, or refused a query."""


class WarehouseConflict(WarehouseError):
    """Somebody else changed the same thing in the warehouse at the same time; ours is undone."""


class UnfitValue(WarehouseError):
    """A column holds a value that cannot be kept exactly; `column` is its name in the query, None if unknown."""

    def __init__(self, column: str | None, reason: str) -> None:
        where = "a column" if column is None else f"the column {column!r}"
        super().__init__(f"{where} holds {reason}; cast it, or set it to null, in the model")
        self.column = column
        self.reason = reason

    @staticmethod
    def written(column: str, reason: str) -> str:
        """Write what a query says that refuses a value, for `read` to find in the driver's error."""
        return f"{_REFUSES} {column}: {reason}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Find in a driver's error what a query refused; None where the error is another."""
        found = re.search(rf'{_REFUSES} (.*): ([^:"]*)', text)
        return cls(found[1], found[2].strip()) if found else None

    def at(self, location: Location) -> DefinitionError:
        """Name the place of the column in the project."""
        return location.error(f"holds {self.reason}; cast it, or set it to null, in the model")


class OnlineStoreError(FeatureSyncError):
    """Redis could not be reached, or refused a command."""


class HeldBack(FeatureSyncError):
    """A view is not pushed because its rows look wrong, or because dbt does not vouch for them."""


class ArtifactsChanged(FeatureSyncError):
    """dbt wrote its artifacts anew while a view was staged."""


class ViewsFailed(FeatureSyncError):
    """Several views could not be pushed; `failures` says why, by their references."""

    def __init__(self, failures: Mapping[str, FeatureSyncError]) -> None:
        super().__init__(f"{len(failures)} feature views could not be pushed: {', '.join(failures)}")
        self.failures = failures


class LeaseHeld(OnlineStoreError):
    """Another push of the view is under way."""


class LeaseLost(OnlineStoreError):
    """Another push has taken over while this one was held up."""


class OutputError(FeatureSyncError):
    """A file could not be written."""


class UnknownName(FeatureSyncError):
    """A name was asked for that the dbt project does not define."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"no {kind} is called {name!r}{did_you_mean(name, known)}")


@dataclass(frozen=True, slots=True)
class Location:
    """Where a definition stands: a file of the project, the node in it, and the YAML key below that node.

    Once somebody has looked for it, the file ends with the line, as in `models/orders.yml:12`.
    """

    file: str
    node: str
    key: str = ""

    def at(self, key: str) -> Location:
        """Go one YAML key deeper."""
        return replace(self, key=f"{self.key}.{key}" if self.key else key)

    def error(self, message: str) -> DefinitionError:
        """Make the error that names this place."""
        return DefinitionError(self, message)

    def warning(self, message: str) -> DefinitionWarning:
        """Make the warning that names this place."""
        return DefinitionWarning(self, message)

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.node, self.key) if part)


@dataclass(frozen=True, slots=True)
class DefinitionWarning:
    """What a person should know of a definition although nothing fails."""

    location: Location
    message: str

    def __str__(self) -> str:
        return f"{self.location}: {self.message}"


class Mistakes:
    """Gathers the mistakes in definitions, so that those which have nothing to do with each other are told together."""

    def __init__(self) -> None:
        self.found: list[DefinitionError] = []

    def note(self, *errors: DefinitionError) -> None:
        """Remember mistakes, and those that were found with them."""
        for error in errors:
            self.found += [error, *error.others]

    def attempt(
        self,
        otherwise: Otherwise,
        read: Callable[Parameters, Read],
        *arguments: Parameters.args,
        **named: Parameters.kwargs,
    ) -> Read | Otherwise:
        """Read something; where it is wrong, note that and go on with something else."""
        try:
            return read(*arguments, **named)
        except DefinitionError as error:
            self.note(error)
            return otherwise

    @property
    def first(self) -> DefinitionError:
        """The first; the rest are its `others`."""
        first, *others = self.found
        first.others = tuple(others)
        return first

    def check(self) -> None:
        """Check that there are none.

        Raises:
            DefinitionError: The first; the rest are its `others`.
        """
        if self.found:
            raise self.first


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Say which of the known names was probably meant, or list them all.

    >>> did_you_mean("ttI", ["ttl", "lag"])
    "; did you mean 'ttl'?"
    """
    choices = sorted(known)
    if close := get_close_matches(name, choices, n=1):
        return f"; did you mean {close[0]!r}?"
    return f"; there is {', '.join(choices) or 'none yet'}"


@contextmanager
def placing(location: Location) -> Iterator[None]:
    """Name the file and the node of a value that is refused inside."""
    try:
        yield
    except UnfitValue as unfit:
        raise unfit.at(location if unfit.column is None else location.at(f"columns.{unfit.column}")) from unfit
