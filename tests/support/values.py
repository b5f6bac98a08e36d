"""What both sides of a feature store show of the same rows: the view "everything", asked by the spine "asks"."""

from __future__ import annotations

from pathlib import Path

import numpy
import pandas
import pyarrow.parquet

FORMS = ("numpy", "nullable", "arrow")


def trained_and_served(store, folder: Path) -> tuple[dict[str, str], list[tuple[dict, dict]]]:
    """The types of a training set, and each of its rows with the vector that is served for it."""
    path = folder / "set.parquet"
    store.get_training_set("everything", "asks").write(path)
    table = pyarrow.parquet.read_table(path)
    types = {field.name: str(field.type) for field in table.schema}
    rows = sorted(table.to_pylist(), key=lambda row: row["id"])
    return types, [(row, store.get_feature_vector("everything", {"id": row["id"]}).to_dict()) for row in rows]


def trained_as_served(
    store, view: str, asked: pandas.DataFrame, *, without: tuple[str, ...] = (), forms: tuple[str, ...] = FORMS
) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Check that training rows and served rows are equal with their types, in Arrow and in every form of pandas.

    Args:
        store: The store.
        view: The view or service.
        asked: Keys and moments, with the row numbers in `n`.
        without: Features that are not compared.
        forms: The forms of pandas to compare.

    Returns:
        The Arrow type of each feature, and its dtype in each form of pandas but Arrow's own.
    """
    training_set, vectors = store.get_training_set(view, asked), store.get_online_features(view, asked)
    names = [name for name in vectors.names if name not in without]
    trained, served = training_set.to_arrow().sort_by("n").select(names), vectors.to_arrow().select(names)
    assert served.schema == trained.schema
    assert repr(served.to_pylist()) == repr(trained.to_pylist())  # NaN is not equal to itself
    dtypes = {}
    for form in forms:
        frame = training_set.to_pandas(form).sort_values("n")[names].reset_index(drop=True)
        shown = vectors.to_pandas(form)[names]
        assert shown.dtypes.to_dict() == frame.dtypes.to_dict()
        for name in names:
            assert _plain(shown[name]) == _plain(frame[name]), (form, name)
        dtypes[form] = {name: str(dtype) for name, dtype in shown.dtypes.items()}
    dtypes.pop("arrow")
    return {field.name: str(field.type) for field in trained.schema}, dtypes


def _plain(series: pandas.Series) -> list[str]:
    """Values as text that tells types apart, NumPy's arrays included."""
    return [
        f"{type(each).__name__} {each.dtype} {each.tolist()}" if isinstance(each, numpy.ndarray) else repr(each)
        for each in series
    ]
