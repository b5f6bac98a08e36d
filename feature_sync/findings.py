"""What is wrong or doubtful in a project's definitions: one value from the YAML reader to the printed line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class Severity(StrEnum):
    """The severity of a finding: an error makes a definition unusable, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with a definition, or that its users should know.

    Unknown parts of the location are empty. `file` is relative to the project, and `line` None, until `dbt.lines`
    finds the line, which counts from 1: then `file` is relative to the working directory. `node` is dbt's unique id,
    `key` the path of YAML keys below that node.
    """

    file: str
    line: int | None = None
    node: str = ""
    key: str = ""
    severity: Severity
    message: str

    def __str__(self) -> str:
        return joined(self._file_and_line, self.node, self.key, self.message)

    @property
    def with_severity(self) -> str:
        """The text in the format of compilers, which editors parse: `file:line: severity: message`."""
        return joined(self._file_and_line, self.severity, self.node, self.key, self.message)

    @property
    def _file_and_line(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


def joined(*parts: str) -> str:
    """Join the known parts of a location and a message with colons; empty parts are left out.

    >>> joined("models/orders.yml:12", "", "config.event_time", "is missing")
    'models/orders.yml:12: config.event_time: is missing'
    """
    return ": ".join(part for part in parts if part)


def group_by_cause(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Group findings that one line causes at several nodes, as a line of `dbt_project.yml` may.

    Identical findings count once; groups keep the order of their first findings.
    """
    groups: dict[Finding, list[Finding]] = {}
    for each in dict.fromkeys(findings):
        cause = each if each.line is None else replace(each, node="")
        groups.setdefault(cause, []).append(each)
    return list(groups.values())
