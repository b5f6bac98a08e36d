"""What a person types: `python -m bench [SECTION]...`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
from rich.console import Console

from bench.report import Table, write_docs, write_json
from bench.sections import SECTIONS

_DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"


@click.command()
@click.argument("sections", nargs=-1, type=click.Choice(list(SECTIONS)))
@click.option("--scale", default=1.0, show_default=True, help="Multiplies the numbers of rows.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write all figures to this file.")
@click.option(
    "--write-docs", "docs", is_flag=True, help="Put the tables into docs/benchmarks.md; those of other sections stay."
)
def main(sections: tuple[str, ...], scale: float, json_path: Path | None, *, docs: bool) -> None:
    """Time the point-in-time join, the push and serving; all sections, unless named."""
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


if __name__ == "__main__":
    main()
