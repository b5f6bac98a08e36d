"""What both sides of a feature store show of the same rows: the view "everything", asked by the spine "asks"."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet


def trained_and_served(store, folder: Path) -> tuple[dict[str, str], list[tuple[dict, dict]]]:
    """The types of a training set, and each of its rows with the vector that is served for it."""
    path = folder / "set.parquet"
    store.get_training_set("everything", "asks").write(path)
    table = pyarrow.parquet.read_table(path)
    types = {field.name: str(field.type) for field in table.schema}
    rows = sorted(table.to_pylist(), key=lambda row: row["id"])
    return types, [(row, store.get_feature_vector("everything", {"id": row["id"]}).to_dict()) for row in rows]
