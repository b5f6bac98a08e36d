"""What is wrong or doubtful in a project's definitions: one value from the reader of YAML to the printed line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class Severity(StrEnum):
    """What a finding means: an error makes a definition unusable."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with a definition, or that a person should know of it.

    What is unknown of its place is empty. `file` is relative to the project, and `line` None, until `dbt.lines` finds
    the line, which counts from 1: then `file` is as a person would open it. `node` is dbt's unique id, `key` the path
    of YAML keys below that node.
    """

    file: str
    line: int | None = None
    node: str = ""
    key: str = ""
    severity: Severity
    message: str

    def __str__(self) -> str:
        return joined(self._place, self.node, self.key, self.message)

    @property
    def with_severity(self) -> str:
        """The text as compilers write it: the severity stands behind the place, which editors open."""
        return joined(self._place, self.severity, self.node, self.key, self.message)

    @property
    def _place(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


def joined(*parts: str) -> str:
    """Join the known parts of a place, and what is said of it.

    >>> joined("models/orders.yml:12", "", "config.event_time", "is missing")
    'models/orders.yml:12: config.event_time: is missing'
    """
    return ": ".join(part for part in parts if part)


def group_by_cause(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Group what one line does to many nodes, as a line of `dbt_project.yml` may; identical findings count once."""
    groups: dict[Finding, list[Finding]] = {}
    for each in dict.fromkeys(findings):
        cause = each if each.line is None else replace(each, node="")
        groups.setdefault(cause, []).append(each)
    return list(groups.values())
