"""Everything this package raises on purpose, one kind for each place where a person can mend something."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import ParamSpec, Self, TypeVar

from feature_sync.findings import Finding, Severity, joined

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

    `finding` says where and what; `others` are further mistakes that were found with it.
    """

    def __init__(self, finding: Finding, *others: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding
        self.others = others


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
    """Where a definition stands: a file of the project, the node in it, and the YAML key below that node."""

    file: str
    node: str
    key: str = ""

    def at(self, key: str) -> Location:
        """Go one YAML key deeper."""
        return replace(self, key=f"{self.key}.{key}" if self.key else key)

    def mistake(self, message: str) -> Finding:
        """Return the finding that this place is wrong."""
        return self._finding(Severity.ERROR, message)

    def warning(self, message: str) -> Finding:
        """Return what a person should know of this place although nothing fails."""
        return self._finding(Severity.WARNING, message)

    def error(self, message: str) -> DefinitionError:
        """Return the exception to raise because this place is wrong."""
        return DefinitionError(self.mistake(message))

    def _finding(self, severity: Severity, message: str) -> Finding:
        return Finding(file=self.file, node=self.node, key=self.key, severity=severity, message=message)

    def __str__(self) -> str:
        return joined(self.file, self.node, self.key)


class Findings:
    """Gathers findings, so that mistakes which have nothing to do with each other are told together."""

    def __init__(self, found: Iterable[Finding] = ()) -> None:
        self._found = [*found]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._found)

    def note(self, *found: Finding) -> None:
        """Add findings."""
        self._found += found

    def attempt(
        self,
        otherwise: Otherwise,
        read: Callable[Parameters, Read],
        *arguments: Parameters.args,
        **named: Parameters.kwargs,
    ) -> Read | Otherwise:
        """Read something; where it is wrong, note all its mistakes and go on with something else."""
        try:
            return read(*arguments, **named)
        except DefinitionError as error:
            self.note(error.finding, *error.others)
            return otherwise

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The mistakes."""
        return tuple(each for each in self._found if each.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What makes nothing fail."""
        return tuple(each for each in self._found if each.severity is Severity.WARNING)

    def raise_errors(self) -> None:
        """Check that nothing is wrong.

        Raises:
            DefinitionError: The first mistake; the rest are its `others`.
        """
        if errors := self.errors:
            raise DefinitionError(*errors)


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
def at_location(location: Location) -> Iterator[None]:
    """Name the file and the node of a value that is refused inside."""
    try:
        yield
    except UnfitValue as unfit:
        raise unfit.at(location if unfit.column is None else location.at(f"columns.{unfit.column}")) from unfit
