"""The whole path on the example: dbt build, push, get, extract; then proves that serving and training agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.compute
import pyarrow.parquet
from rich.console import Console
from rich.table import Table

from feature_sync import FeatureStore

SERVICE = "departure_delay_model"
SPINE = "departures"
FLIGHT = "2013-01-31_B6_1006_JFK"
TRAINING_SET = Path("target/training_set.parquet")
console = Console(highlight=False)


def main() -> None:
    """Run every step as a person would type it."""
    run("dbt", "--quiet", "build")
    run("feature-sync", "push")
    run("feature-sync", "extract", SERVICE, "--spine", SPINE, "--output", str(TRAINING_SET))
    row = training_row()
    with FeatureStore.open() as store:
        keys = {key: row[key] for key in store.registry.feature_services[SERVICE].join_keys}
        typed = [f"{key}={value}" for key, value in keys.items()]
        run("feature-sync", "get", SERVICE, *typed)
        vector = store.get_feature_vector(SERVICE, keys).to_dict()
    table = Table("feature", "get says", "the training set says", box=None, pad_edge=False, header_style="bold")
    for name, value in vector.items():
        table.add_row(name, str(value), str(row[name]))
    console.print(f"Flight {FLIGHT}, asked about at {row['asked_at']:%Y-%m-%d %H:%M} UTC:", table, sep="\n")
    if vector != {name: row[name] for name in vector}:
        sys.exit("Serving and training disagree: please report this.")
    console.print("\nEqual: what the model is served is what it was trained on.\n")
    console.print(
        "Next, try:", "  export DBT_PROFILES_DIR=profiles PATH=$PWD/.venv/bin:$PATH", sep="\n", soft_wrap=True
    )
    for command in (
        "feature-sync list",
        "feature-sync describe carrier_delays",
        f"feature-sync sql {SERVICE} --spine {SPINE}",
        "feature-sync docs -o docs/catalog/overview.md",
        "dbt docs generate --static && open target/static_index.html",
        "feature-sync redis stop",
    ):
        console.print(f"  {command}", soft_wrap=True)


def run(program: str, *arguments: str) -> None:
    """Show a command and run it; the demo ends where it fails."""
    console.print(f"[bold]$ {program} {' '.join(arguments)}[/]", soft_wrap=True)
    done = subprocess.run([str(Path(sys.executable).with_name(program)), *arguments], check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)


def training_row() -> dict[str, object]:
    """The named flight's row of the training set."""
    rows = pyarrow.parquet.read_table(TRAINING_SET, filters=[("flight_id", "=", FLIGHT)]).to_pylist()
    if len(rows) != 1:
        sys.exit(f"the training set holds {len(rows)} rows for {FLIGHT}, not 1")
    return rows[0]


if __name__ == "__main__":
    main()
