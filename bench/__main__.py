"""What a person types: `python -m bench [SECTION]...`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
from rich.console import Console

from bench import quick
from bench.report import Table, write_docs, write_json
from bench.sections import SECTIONS

_DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"


@click.command()
@click.argument("sections", nargs=-1, type=click.Choice(list(SECTIONS)))
@click.option("--scale", default=1.0, show_default=True, help="Multiplies the numbers of rows.")
@click.option("--quick", "is_quick", is_flag=True, help="Show the goals' ratios alone, on few rows, in some minutes.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write all figures to this file.")
@click.option(
    "--write-docs", "docs", is_flag=True, help="Put the tables into docs/benchmarks.md; those of other sections stay."
)
def main(sections: tuple[str, ...], scale: float, json_path: Path | None, *, is_quick: bool, docs: bool) -> None:
    """Time the point-in-time join, the push and serving; all sections, unless named."""
    if is_quick:
        _run_quick(sections, scale, docs=docs)
        return
    console, tables = Console(), dict[str, list[Table]]()
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        for name in sections or SECTIONS:
            click.echo(f"{name} ...", err=True)
            tables[name] = []
            for table in SECTIONS[name](Path(folder), scale):
                table.print(console)
                tables[name].append(table)
    if json_path is not None:
        write_json([table for some in tables.values() for table in some], json_path)
    if docs:
        write_docs(tables, _DOCS, order=SECTIONS)


def _run_quick(sections: tuple[str, ...], scale: float, *, docs: bool) -> None:
    if docs and scale != 1:
        raise click.UsageError("--quick records the ratios of its own scales: leave --scale out")
    unfit = [name for name in sections if name not in quick.SCALES]
    if unfit:
        raise click.UsageError(f"--quick leaves out {', '.join(unfit)}")
    tables: dict[str, list[Table]] = {}
    worse = 0
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        for name in sections or quick.SCALES:
            tables[name] = [*SECTIONS[name](Path(folder), scale * quick.SCALES[name])]
            for compared in quick.compare({name: tables[name]}, _DOCS):
                click.echo(click.style(str(compared), fg="red" if compared.is_worse else None))
                worse += compared.is_worse
    click.echo(f"{worse} worse than recorded by more than a third")
    if docs:
        quick.record(tables, _DOCS)


if __name__ == "__main__":
    main()
