"""The exceptions that this package raises on purpose, one class for each kind of thing that the user can fix."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar

import msgspec

from feature_sync.option_words import in_callers_words

if TYPE_CHECKING:
    from feature_sync.findings import Finding, Severity  # at run time only where there is one: clients have none

_REFUSES = "feature_sync refuses"
Parameters = ParamSpec("Parameters")
Read = TypeVar("Read")
Fallback = TypeVar("Fallback")


class FeatureSyncError(Exception):
    """Base class of all exceptions that are raised on purpose: the text is one line that says what to change.

    It names options as its reader gives them: keyword arguments in Python, `--option` on the command line.
    """

    def __str__(self) -> str:
        return in_callers_words(super().__str__())


class ProjectError(FeatureSyncError):
    """The dbt project, or what dbt wrote for it, cannot be read."""


class ProfileError(FeatureSyncError):
    """`profiles.yml` does not say how to reach the warehouse."""


class DefinitionError(FeatureSyncError):
    """A definition in the dbt project's YAML contradicts itself, or the table it describes.

    `finding` is the first mistake, with its location; `others` are further mistakes that were found with it.
    """

    def __init__(self, finding: Finding, *others: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding
        self.others = others


class RequestError(FeatureSyncError):
    """A request does not fit the definitions: a missing join key, a name that clashes, a moment too early."""


class WarehouseError(FeatureSyncError):
    """The warehouse could not be reached, or refused a query."""


class WarehouseConflict(WarehouseError):
    """Another session changed the same object in the warehouse concurrently; this change is rolled back."""


class UnfitValue(WarehouseError):
    """A column holds a value that cannot be stored exactly; `column` is its name in the query, None if unknown."""

    def __init__(self, column: str | None, reason: str) -> None:
        where = "a column" if column is None else f"the column {column!r}"
        super().__init__(f"{where} holds {reason}; cast it, or set it to null, in the model")
        self.column = column
        self.reason = reason

    @staticmethod
    def written(column: str, reason: str) -> str:
        """Return the error text that a query raises to refuse a value; `read` parses it out of the driver's error."""
        return f"{_REFUSES} {column}: {reason}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Parse a driver's error; None unless a query raised it with the text of `written`."""
        found = re.search(rf'{_REFUSES} (.*): ([^:"]*)', text)
        return cls(found[1], found[2].strip()) if found else None

    def at(self, location: Location) -> DefinitionError:
        """Return the same error with the column's location in the project."""
        return location.error(f"holds {self.reason}; cast it, or set it to null, in the model")


class OnlineStoreError(FeatureSyncError):
    """Redis could not be reached, or refused a command."""


class HeldBack(FeatureSyncError):
    """A view is not pushed because its rows look wrong, or because dbt's last build does not vouch for them."""


class ArtifactsChanged(FeatureSyncError):
    """dbt rewrote its artifacts while a view was staged."""


class ViewsFailed(FeatureSyncError):
    """Several views could not be pushed; `failures` holds the error of each, by the view's reference."""

    def __init__(self, failures: Mapping[str, FeatureSyncError]) -> None:
        super().__init__(f"{len(failures)} feature views could not be pushed: {', '.join(failures)}")
        self.failures = failures


class LeaseHeld(OnlineStoreError):
    """Another push of the view is running."""


class LeaseLost(OnlineStoreError):
    """Another push took over the lease while this one was stalled."""


class OutputError(FeatureSyncError):
    """A file could not be written."""


class UnknownName(FeatureSyncError):
    """A request names something that the dbt project does not define."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """Suggest the known name that is closest to the unknown one, or else list all known names.

        Args:
            kind: What the name should be, such as "feature view".
            name: The unknown name.
            known: All names that are defined, from which the message suggests one.
        """
        super().__init__(f"no {kind} is called {name!r}{did_you_mean(name, known)}")


class Location(msgspec.Struct, frozen=True):
    """The location of a definition: a file of the project, the node in it, and the path of YAML keys in that node."""

    file: str
    node: str
    key: str = ""

    def at(self, key: str) -> Location:
        """Go one YAML key deeper."""
        return Location(self.file, self.node, f"{self.key}.{key}" if self.key else key)

    def mistake(self, message: str) -> Finding:
        """Return a finding of severity error at this location."""
        from feature_sync.findings import Severity

        return self._finding(Severity.ERROR, message)

    def warning(self, message: str) -> Finding:
        """Return a finding of severity warning at this location: worth knowing, but nothing fails."""
        from feature_sync.findings import Severity

        return self._finding(Severity.WARNING, message)

    def error(self, message: str) -> DefinitionError:
        """Return the exception to raise for a mistake at this location."""
        return DefinitionError(self.mistake(message))

    def _finding(self, severity: Severity, message: str) -> Finding:
        from feature_sync.findings import Finding

        return Finding(file=self.file, node=self.node, key=self.key, severity=severity, message=message)

    def __str__(self) -> str:
        from feature_sync.findings import joined

        return joined(self.file, self.node, self.key)


class Findings:
    """Collects findings, so that independent mistakes are reported together."""

    def __init__(self, found: Iterable[Finding] = ()) -> None:
        self._found = [*found]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._found)

    def note(self, *found: Finding) -> None:
        """Add findings."""
        self._found += found

    def attempt(
        self,
        fallback: Fallback,
        read: Callable[Parameters, Read],
        *arguments: Parameters.args,
        **named: Parameters.kwargs,
    ) -> Read | Fallback:
        """Call a reader; if it raises a `DefinitionError`, note all mistakes in it and return the fallback.

        Args:
            fallback: The result if the definition is wrong.
            read: The function to call.
            *arguments: Its positional arguments.
            **named: Its keyword arguments.
        """
        try:
            return read(*arguments, **named)
        except DefinitionError as error:
            self.note(error.finding, *error.others)
            return fallback

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings of severity error."""
        from feature_sync.findings import Severity

        return tuple(each for each in self._found if each.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings of severity warning, which make nothing fail."""
        from feature_sync.findings import Severity

        return tuple(each for each in self._found if each.severity is Severity.WARNING)

    def raise_errors(self) -> None:
        """Raise if there are errors.

        Raises:
            DefinitionError: The first mistake, with the rest as its `others`.
        """
        if errors := self.errors:
            raise DefinitionError(*errors)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a message that suggests the known name closest to a wrong one, or else lists all known names.

    >>> did_you_mean("ttI", ["ttl", "lag"])
    "; did you mean 'ttl'?"
    """
    from difflib import get_close_matches

    choices = sorted(known)
    if close := get_close_matches(name, choices, n=1):
        return f"; did you mean {close[0]!r}?"
    return f"; choose from {', '.join(choices)}" if choices else "; none is defined yet"


@contextmanager
def at_location(location: Location) -> Iterator[None]:
    """Translate an `UnfitValue` raised inside into a `DefinitionError` that names the file, node and column.

    Raises:
        DefinitionError: The block raised `UnfitValue`.
    """
    try:
        yield
    except UnfitValue as unfit:
        raise unfit.at(location if unfit.column is None else location.at(f"columns.{unfit.column}")) from unfit
