"""Writes the tables of this example as other tools would: Iceberg and Delta by their libraries, Hudi by hand.

`python tables.py lake` writes a first commit of each table into the folder `lake`, or the next one if they are there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import pyarrow
import pyarrow.compute
import pyarrow.dataset
import pyarrow.parquet

MOMENT = pyarrow.timestamp("us", tz="UTC")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
_META = ("_hoodie_commit_time", "_hoodie_commit_seqno", "_hoodie_record_key", "_hoodie_partition_path")
_AVRO = {"int32": "int", "int64": "long", "float": "float", "double": "double", "string": "string"}


def commit_to_hudi(
    folder: str, rows: pyarrow.Table, *, key: str, instant: str, deleted: Sequence = (), partition: str | None = None
) -> None:
    """Upsert rows into a copy-on-write table (version 6) as Hudi does: each group that changes gets a new base file.

    No writer of Hudi is a Python library, so this one writes what Hudi's specification says, for one group a partition.
    """
    base, instants = Path(folder), Path(folder, ".hoodie")
    if not instants.is_dir():
        _create_hudi(base, rows, key, partition)
    places = _places(rows, partition)
    groups = {place: rows.filter(places[place]) for place in places}
    for each in base.rglob("*_*.parquet"):  # a row that is deleted may be in any group
        groups.setdefault(str(each.parent.relative_to(base)).replace(".", "", 1), rows.slice(0, 0))
    written = {place: [_write_group(base, place, part, key, instant, deleted)] for place, part in groups.items()}
    metadata = {
        "partitionToWriteStats": written, "compacted": False, "operationType": "UPSERT",
        "extraMetadata": {"schema": json.dumps(_avro(rows.schema))},
    }  # fmt: skip
    (instants / f"{instant}.commit.requested").touch()
    (instants / f"{instant}.inflight").touch()
    (instants / f"{instant}.commit").write_text(json.dumps(metadata))


def _places(rows: pyarrow.Table, partition: str | None) -> dict[str, pyarrow.Array]:
    if partition is None:
        return {"": pyarrow.repeat(pyarrow.scalar(True), rows.num_rows)}
    values = rows.column(partition).unique().to_pylist()
    return {f"{partition}={value}": pyarrow.compute.equal(rows.column(partition), value) for value in values}


def _create_hudi(base: Path, rows: pyarrow.Table, key: str, partition: str | None) -> None:
    generator = "NonpartitionedKeyGenerator" if partition is None else "SimpleKeyGenerator"
    properties = {
        "hoodie.table.name": base.name, "hoodie.table.type": "COPY_ON_WRITE", "hoodie.table.version": 6,
        "hoodie.timeline.layout.version": 1, "hoodie.table.base.file.format": "PARQUET",
        "hoodie.table.recordkey.fields": key, "hoodie.populate.meta.fields": "true",
        "hoodie.table.keygenerator.class": f"org.apache.hudi.keygen.{generator}",
        "hoodie.archivelog.folder": "archived", "hoodie.datasource.write.hive_style_partitioning": "true",
        "hoodie.table.timeline.timezone": "UTC", **({"hoodie.table.partition.fields": partition} if partition else {}),
        "hoodie.table.create.schema": json.dumps(_avro(rows.schema)),
    }  # fmt: skip
    (base / ".hoodie").mkdir(parents=True)
    text = "".join(f"{name}={value}\n" for name, value in properties.items())
    (base / ".hoodie" / "hoodie.properties").write_text(text)


def _write_group(base: Path, place: str, rows: pyarrow.Table, key: str, instant: str, deleted: Sequence) -> dict:
    group = f"{uuid5(NAMESPACE_URL, place)}-0"
    name, folder = f"{group}_0-1-0_{instant}.parquet", base / place
    folder.mkdir(exist_ok=True)
    (folder / ".hoodie_partition_metadata").write_text(f"commitTime={instant}\npartitionDepth={int(bool(place))}\n")
    before = sorted(folder.glob(f"{group}_*.parquet"), key=lambda each: each.stem.rpartition("_")[2])
    kept = pyarrow.parquet.read_table(before[-1], partitioning=None) if before else None
    if kept is not None:
        gone = pyarrow.array([*rows.column(key).to_pylist(), *deleted], kept.schema.field(key).type)
        kept = kept.filter(~pyarrow.compute.field(key).isin(gone))
    stamped = _stamped(rows, key, place, instant, name)
    merged = stamped if kept is None else pyarrow.concat_tables([kept, stamped], promote_options="permissive")
    merged = merged.select([*_META, "_hoodie_file_name", *rows.schema.names]).sort_by(key)
    pyarrow.parquet.write_table(merged, folder / name)
    size = (folder / name).stat().st_size
    return {
        "fileId": group, "path": f"{place}/{name}".lstrip("/"), "partitionPath": place, "numWrites": merged.num_rows,
        "numInserts": rows.num_rows, "numDeletes": 0, "numUpdateWrites": 0, "totalWriteErrors": 0,
        "prevCommit": before[-1].stem.rpartition("_")[2] if before else "null",
        "totalWriteBytes": size, "fileSizeInBytes": size,
    }  # fmt: skip


def _stamped(rows: pyarrow.Table, key: str, place: str, instant: str, name: str) -> pyarrow.Table:
    """Add Hudi's own columns, which say for each row when it was written."""
    records = [str(each) for each in rows.column(key).to_pylist()]
    count = len(records)
    numbers = [f"{instant}_0_{number}" for number in range(count)]
    columns = ([instant] * count, numbers, records, [place] * count, [name] * count)
    for column, values in reversed([*zip((*_META, "_hoodie_file_name"), columns, strict=True)]):
        rows = rows.add_column(0, column, pyarrow.array(values, pyarrow.string()))
    return rows


def _avro(schema: pyarrow.Schema) -> dict:
    moment = {"type": "long", "logicalType": "timestamp-micros"}
    fields = [
        {"name": field.name, "type": ["null", _AVRO.get(str(field.type), moment)], "default": None} for field in schema
    ]
    return {"type": "record", "name": "rows", "fields": fields}


def commit_to_iceberg(
    catalog: dict[str, str], table: str, rows: pyarrow.Table, *, key: str, deleted: Sequence = ()
) -> None:
    """Upsert rows by pyiceberg, and delete others; columns that are new or wider are added to the schema first."""
    from pyiceberg.catalog import load_catalog
    from pyiceberg.expressions import In

    opened = load_catalog("shop", **catalog)
    opened.create_namespace_if_not_exists(table.partition(".")[0])
    if not opened.table_exists(table):
        opened.create_table(table, rows.schema).append(rows)
        return
    found = opened.load_table(table)
    if deleted:
        found.delete(In(key, list(deleted)))
    before = found.schema()
    with found.update_schema() as update:
        update.union_by_name(rows.schema)
    found = opened.load_table(table)
    if found.schema() == before:
        found.upsert(rows, join_cols=[key])
        return
    with found.transaction() as both:  # pyiceberg 0.12 compares old rows with new ones by all columns, so no upsert
        both.delete(In(key, rows.column(key).to_pylist()))
        both.append(rows)


def commit_to_delta(folder: str, rows: pyarrow.Table, *, key: str, deleted: Sequence = ()) -> None:
    """Upsert rows by deltalake, and delete others; columns that are new are added to the schema."""
    from deltalake import DeltaTable, write_deltalake

    if not DeltaTable.is_deltatable(folder):
        write_deltalake(folder, rows)
        return
    table = DeltaTable(folder)
    if deleted:
        table.delete(f"{key} in ({', '.join(map(str, deleted))})")
    same = f"old.{key} = new.{key}"
    merge = table.merge(rows, same, source_alias="new", target_alias="old", merge_schema=True)
    merge.when_matched_update_all().when_not_matched_insert_all().execute()


def write_day(folder: str, orders: pyarrow.Table) -> None:
    """Write orders into a folder of Parquet files, a subfolder for each day."""
    pyarrow.dataset.write_dataset(
        orders,
        folder,
        format="parquet",
        partitioning=["day"],
        partitioning_flavor="hive",
        existing_data_behavior="delete_matching",
    )


def _rows(column: str, moment: str, values: dict[int, float], at: datetime) -> pyarrow.Table:
    ids = pyarrow.array(list(values), pyarrow.int64())
    moments = pyarrow.array([at] * len(values), MOMENT)
    return pyarrow.table({"customer_id": ids, moment: moments, column: pyarrow.array(list(values.values()))})


def main(folder: str) -> None:
    """Write the next commit of each table."""
    root = Path(folder).absolute()
    root.mkdir(exist_ok=True)
    day = len([*root.glob("orders/day=*")])
    at = NOON + day * DAY
    changed = {1: 10.0, 2: 20.0, 3: 30.0} if day == 0 else {2: 22.0 + day, 3 + day: 40.0 + day}
    deleted = [1] if day == 1 else []
    catalog = {"type": "sql", "uri": f"sqlite:///{root}/catalog.db", "warehouse": f"file://{root}/iceberg"}
    spend = _rows("amount_30d", "spent_at", changed, at)
    commit_to_hudi(f"{root}/spend", spend, key="customer_id", instant=f"{at:%Y%m%d%H%M%S}000", deleted=deleted)
    visits = _rows("visits_7d", "visited_at", {key: value / 10 for key, value in changed.items()}, at)
    commit_to_iceberg(catalog, "shop.visits", visits, key="customer_id", deleted=deleted)
    commit_to_delta(f"{root}/scores", _rows("score", "scored_at", changed, at), key="customer_id", deleted=deleted)
    orders = _rows("total", "ordered_at", changed, at)
    write_day(f"{root}/orders", orders.append_column("day", pyarrow.array([f"{at:%Y-%m-%d}"] * orders.num_rows)))


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["lake"]))
