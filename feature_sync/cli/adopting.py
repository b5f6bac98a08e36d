"""Prints the proposals of `init`: YAML on stdout, hints and next steps on stderr."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from feature_sync.cli.saying import say
from feature_sync.cli.tables import size
from feature_sync.yaml_lines import write_lines, write_name

if TYPE_CHECKING:
    from feature_sync.adopting import Adoption, Proposal


def print_scan(model: str, count: int) -> None:
    """Print how many bytes a counting query over a model will read."""
    say(f"{model}: counting its keys reads {size(count)}", err=True)


def print_adoption(adoption: Adoption) -> None:
    """Print proposals that were not written as YAML; then hints, failures and next steps."""
    written = [name for names in adoption.written.values() for name in names]
    proposals = [each for each in adoption.proposals if each.name not in written]
    for line in _as_yaml(proposals):
        click.echo(line)
    for each in adoption.proposals:
        for hint in each.hints:
            say(f"{each.name}: {hint}", err=True)
    for name, file in adoption.already.items():
        say(f"{name}: is a feature view already, in {file}; nothing to do", err=True)
    for file, names in adoption.written.items():
        say(f"wrote {file}: {', '.join(names)}", err=True)
    for failure in adoption.failures:
        say(f"Error: {failure}", err=True)
    if adoption.proposals:
        say(_next_steps(adoption), err=True)


def _as_yaml(proposals: Iterable[Proposal]) -> Iterator[str]:
    """Yield the lines of one YAML document, ready to paste."""
    proposals = list(proposals)
    for section in dict.fromkeys(each.position.section for each in proposals):
        yield f"{section}:"
        for each in proposals:
            if each.position.section == section:
                yield from _entry(each)


def _entry(proposal: Proposal) -> Iterator[str]:
    yield f"  # {proposal.file}"
    yield f"  - name: {write_name(proposal.position.name)}"
    if proposal.position.version is None:
        yield from write_lines(proposal.lines(), indent=4)
        return
    yield "    versions:"
    yield f"      - v: {proposal.position.version}"
    yield from write_lines(proposal.lines(), indent=8)


def _next_steps(adoption: Adoption) -> str:
    names = [name for written in adoption.written.values() for name in written]
    if not names:
        return "next: read it; then run the same command with --write, or paste it"
    listed = " ".join(names)
    return (
        f"next: read the diff, every guess says why; dbt parse; feature-sync describe {names[0]}; "
        f"dbt build -s {listed}; feature-sync push {listed}"
    )
