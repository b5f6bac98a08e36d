"""What scikit-learn, XGBoost and LightGBM make of training sets by `feature_sync.integrations`, in `.venv-models`.

Run in the folder of the example, which has been pushed: `python -m tests.support.integration_worker CHECK`.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import joblib
import numpy
import pandas
import polars
import pyarrow
import pyarrow.parquet
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import GridSearchCV, KFold, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from feature_sync import FeatureStore
from feature_sync.errors import FeatureSyncError
from feature_sync.integrations.categories import Categories
from feature_sync.integrations.sklearn import FeatureLookup
from feature_sync.training import TrainingTable
from tests.support.estimator_checks import CarriersByNumber, check_all
from tests.support.model_worker import CLOCK, KEYS, PREFIX, SERVICE, UNKNOWN

SHARE = 10
"""Of the training set, one row in so many is used where each fold is a query."""


class Example:
    """The training set of the example, and lookups of its features."""

    def __init__(self) -> None:
        self.store = FeatureStore(".", profiles_dir="profiles", redis_timeout=5)
        self.training_set = self.store.get_training_set(SERVICE, "departures")

    @cached_property
    def table(self) -> TrainingTable:
        return self.training_set.collect()

    @cached_property
    def asked(self) -> pandas.DataFrame:
        """Some rows of the spine: shuffled, with labels of their own as the index."""
        frame = self.table.to_pandas()
        return frame.set_axis([f"row {at}" for at in frame.index]).sample(frac=1 / SHARE, random_state=7)

    @cached_property
    def entities(self) -> pandas.DataFrame:
        return self.table.to_pandas()[KEYS].drop_duplicates()

    def lookup(self, **options: Any) -> FeatureLookup:
        return FeatureLookup(
            ".", SERVICE, **{"moment": "asked_at", "profiles_dir": "profiles", "timeout": 5, **options}
        )

    def model(self, *steps: Any) -> Pipeline:
        return make_pipeline(*steps, _words(), HistGradientBoostingClassifier(max_iter=10, random_state=1))


def _words() -> Any:
    words = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return make_column_transformer((words, ["manufacturer"]), remainder="passthrough")


def refused(act: Any, *words: str) -> None:
    """Check that an error of ours is raised, with some words."""
    said = error_of(act)
    assert said, f"nothing was raised about {words}"
    assert all(each in said for each in words), said


def error_of(act: Any) -> str:
    try:
        act()
    except FeatureSyncError as wrong:
        return str(wrong)
    return ""


def scikit_learns_own_checks_pass(example: Example) -> None:
    """All, with frames made of their arrays; and of the class itself those for which its tags allow."""
    del example
    keyed = CarriersByNumber(".", "carrier_delays.v2", moment=None, profiles_dir="profiles", timeout=5)
    assert check_all(keyed) >= 40
    assert check_all(FeatureLookup(".", SERVICE, profiles_dir="profiles")) == 1


def every_fold_is_answered_as_of_its_moments(example: Example) -> None:
    """As if the features had been there from the start; features as they are now would be others."""
    X, y = example.asked[[*KEYS, "asked_at"]], example.asked["is_late"]  # noqa: N806
    features = example.asked[[*example.table.feature_names]]
    folds = KFold(3, shuffle=True, random_state=3)
    by_lookup = cross_val_score(example.model(example.lookup()), X, y, cv=folds, scoring="roc_auc", error_score="raise")
    beforehand = cross_val_score(example.model(), features, y, cv=folds, scoring="roc_auc", error_score="raise")
    assert by_lookup.tolist() == beforehand.tolist()
    assert by_lookup.min() > 0.6
    as_served = example.model(example.lookup(moment=None))
    assert cross_val_score(as_served, X, y, cv=folds, scoring="roc_auc").tolist() != beforehand.tolist()


def folds_are_answered_in_processes_of_their_own(example: Example) -> None:
    X, y = example.asked[[*KEYS, "asked_at"]], example.asked["is_late"]  # noqa: N806
    model = example.model(example.lookup())
    alone, together = (cross_val_score(model, X, y, cv=2, n_jobs=n_jobs, error_score="raise") for n_jobs in (1, 2))
    assert alone.tolist() == together.tolist()


def a_grid_search_is_dumped_loaded_and_served(example: Example) -> None:
    """The loaded pipeline predicts online what it predicts as of the clock of the push."""
    X, y = example.asked[[*KEYS, "asked_at"]], example.asked["is_late"]  # noqa: N806
    grid = {"histgradientboostingclassifier__max_depth": [2, 4], "featurelookup__on_missing": ["null", "raise"]}
    splits = TimeSeriesSplit(2)
    search = GridSearchCV(example.model(example.lookup()), grid, cv=splits, scoring="roc_auc", error_score="raise")
    search.fit(X, y)
    joblib.dump(search.best_estimator_, "model.joblib")
    assert b"redis" not in Path("model.joblib").read_bytes().replace(b"redis_url", b"")
    loaded = joblib.load("model.joblib")
    served = loaded.predict_proba(example.entities)
    at_the_clock = loaded.predict_proba(example.entities.assign(asked_at=CLOCK))
    assert numpy.array_equal(served, at_the_clock)
    assert len(numpy.unique(served)) > 20
    assert numpy.isfinite(
        loaded.set_params(featurelookup__on_missing="null").predict_proba(pandas.DataFrame([UNKNOWN]))
    ).all()


def rows_keep_their_order_and_index_in_every_form(example: Example) -> None:
    names = [*example.table.feature_names]
    rows = example.asked[:50]
    expected = rows[names]
    lookup = example.lookup().fit(rows)
    assert lookup.get_feature_names_out().tolist() == names
    assert (lookup.n_features_in_, lookup.feature_names_in_.tolist()) == (rows.shape[1], rows.columns.tolist())
    pandas.testing.assert_frame_equal(lookup.transform(rows), expected)
    served = lookup.transform(rows[KEYS])
    assert served.index.equals(rows.index)
    pandas.testing.assert_frame_equal(served, lookup.transform(rows[KEYS].assign(asked_at=CLOCK)))
    renamed = rows.rename(columns={"carrier": "airline"})
    pandas.testing.assert_frame_equal(example.lookup(keys={"carrier": "airline"}).fit_transform(renamed), expected)
    pandas.testing.assert_frame_equal(lookup.transform(polars.from_pandas(rows)), expected.reset_index(drop=True))
    assert clone(lookup).set_output(transform="default").fit(rows).transform(rows).shape == (50, len(names))
    framed = clone(lookup).set_output(transform="polars").fit(rows).transform(rows)
    assert isinstance(framed, polars.DataFrame)
    assert framed.columns == names
    pandas.testing.assert_frame_equal(clone(lookup).set_output(transform="pandas").fit_transform(rows), expected)
    assert example.lookup(dtypes="nullable").fit_transform(rows)["seats"].dtype == "Int64"


def a_lookup_without_a_project_serves_only(example: Example) -> None:
    rows = example.asked[:50]
    alone = FeatureLookup(None, SERVICE, prefix=PREFIX, moment="asked_at", timeout=5).fit(rows)
    pandas.testing.assert_frame_equal(alone.transform(rows[KEYS]), example.lookup().fit(rows).transform(rows[KEYS]))
    refused(lambda: alone.transform(rows), "asked_at", "dbt project")


def a_lookup_says_what_is_wrong(example: Example) -> None:
    rows, late = example.asked[:5], example.asked["is_late"][:5]
    refused(lambda: example.lookup(moment="event_timestamp").fit_transform(rows, late), "no column 'event_timestamp'")
    refused(lambda: example.lookup().fit(rows[KEYS[:2]]), "no column origin")
    refused(lambda: example.lookup(keys={"airport": "origin"}).fit(rows), "no key airport")
    refused(lambda: example.lookup(redis_url="redis://:secret@host").fit(rows), "FEATURE_SYNC_REDIS_URL")
    refused(lambda: FeatureLookup(".").fit(rows), "name a feature service")
    refused(lambda: example.lookup(max_age=timedelta(hours=1)).fit(rows), "without a project")
    refused(lambda: FeatureLookup(None, SERVICE).fit(rows), "prefix=")
    for name, wrong in {"on_missing": "zero", "dtypes": "int", "on_drift": "maybe"}.items():
        refused(lambda name=name, wrong=wrong: example.lookup(**{name: wrong}).fit(rows), wrong)
    strict = example.lookup(on_missing="raise").fit(rows)
    known = example.asked[example.lookup().fit(rows).transform(example.asked[KEYS]).notna().all(axis=1)][:5]
    assert len(strict.transform(known[KEYS])) == 5
    unknown = pandas.DataFrame([*known[KEYS].to_dict("records"), UNKNOWN])
    refused(lambda: strict.transform(unknown), "1 of 6 rows", "tailnum='N00000'")
    assert strict.set_params(on_missing="null").transform(unknown)["seats"].isna().iloc[-1]


def boosted(matrix: Any) -> bytes:
    import xgboost

    options = {"objective": "binary:logistic", "max_depth": 5, "seed": 1, "nthread": 1}
    return bytes(xgboost.train(options, matrix, 10).save_raw())


def gradient_boosted(data: Any) -> Any:
    import lightgbm

    options = {"objective": "binary", "verbose": -1, "seed": 1, "deterministic": True, "num_threads": 1}
    return lightgbm.train(options, data, 20)


def batches_have_one_list_of_categories(example: Example) -> None:
    """Although the first batch lacks some words; for rows in memory, in a file, and not yet run."""
    from feature_sync.integrations.xgboost import quantile_dmatrix

    extract = example.training_set.write("rows.parquet")
    matrix, categories = quantile_dmatrix(example.table, rows_per_batch=1_000)
    assert (matrix.num_row(), matrix.num_col()) == (len(example.table), len(example.table.feature_names))
    assert len(categories.words["manufacturer"]) > len(set(example.table.to_pandas()["manufacturer"][:1_000]))
    model = boosted(matrix)
    for source in (extract.path, example.training_set):
        again, same = quantile_dmatrix(source, rows_per_batch=1_000)  # the sidecar knows the label, too
        assert same == categories == Categories.from_json(categories.to_json())
        assert boosted(again) == model
    unlabelled = replace(example.table, label_names=())
    refused(lambda: quantile_dmatrix(unlabelled), "names no label", "label=")


def served_vectors_are_encoded_as_training_rows(example: Example) -> None:
    """Both libraries predict the same for an entity as for the training row of that moment; unknown text is missing."""
    import xgboost

    from feature_sync.integrations.lightgbm import dataset
    from feature_sync.integrations.xgboost import dmatrix, quantile_dmatrix

    before, after = example.table.split_by_time("2013-01-25")
    matrix, categories = quantile_dmatrix(before)
    assert quantile_dmatrix(after, categories=categories, ref=matrix)[0].num_row() == len(after)
    data, same = dataset(before)
    assert same == categories
    assert dataset(after, categories=categories, reference=data)[0].num_data() == len(after)
    booster, trees = xgboost.Booster(model_file=bytearray(boosted(matrix))), gradient_boosted(data)
    vectors = example.store.get_online_features(SERVICE, [*example.entities.to_dict("records"), UNKNOWN])
    rows = example.store.get_training_set(SERVICE, example.entities.assign(event_timestamp=CLOCK)).collect()
    for predict in (
        lambda each: trees.predict(categories.encode(each)),
        lambda each: booster.predict(dmatrix(each, categories)),
    ):
        served = predict(vectors)
        assert numpy.array_equal(served[:-1], predict(rows))
        assert len(numpy.unique(served)) > 100
        assert numpy.array_equal(predict(vectors[-1]), served[-1:])
    unheard = rows.features()[:1].assign(manufacturer="UNHEARD OF")
    assert numpy.isnan(categories.encode(unheard)["manufacturer"].iloc[0])


def the_same_inputs_give_the_same_model_three_times(example: Example) -> None:
    """The same bytes, the same content hash, the same model of each library."""
    from feature_sync.integrations.lightgbm import dataset
    from feature_sync.integrations.xgboost import quantile_dmatrix

    made = []
    for at in range(3):
        with FeatureStore(".", profiles_dir="profiles") as store:
            training_set = store.get_training_set(SERVICE, "departures")
            extract, table = training_set.write(f"{at}.parquet"), training_set.collect()
        assert table.content_hash == extract.content_hash
        files = Path(f"{at}.parquet").read_bytes(), Path(f"{at}.parquet.json").read_bytes()
        scored = example.model().fit(*table.xy()).predict_proba(table.features()).tobytes()
        text = gradient_boosted(dataset(table)[0]).model_to_string()
        made.append((*files, table.content_hash, scored, text, boosted(quantile_dmatrix(table)[0])))
    assert made[0] == made[1] == made[2]


def _with_long_numbers(table: TrainingTable) -> TrainingTable:
    """The rows with a long number among the seats, between nulls."""
    rows = table.to_arrow().slice(0, 3)
    seats = pyarrow.array([None, 2**53 + 1, None], pyarrow.int64())
    return TrainingTable(
        table=rows.set_column(rows.schema.get_field_index("seats"), "seats", seats),
        schema=table.schema,
        moment_name=table.moment_name,
        key_names=table.key_names,
        label_names=table.label_names,
        pin=table.pin,
    )


def integers_beyond_float64_survive_or_are_refused_by_name(example: Example) -> None:
    from feature_sync.integrations.lightgbm import dataset
    from feature_sync.integrations.xgboost import quantile_dmatrix

    long = _with_long_numbers(example.table)
    assert long.to_arrow()["seats"].to_pylist() == [None, 2**53 + 1, None]
    nullable = long.features("nullable")
    assert nullable["seats"].iloc[1] == 2**53 + 1
    others = [name for name in long.feature_names if name != "seats"]
    categories = Categories.of(long)
    for take in (
        dataset,
        quantile_dmatrix,
        categories.encode,
        lambda each: categories.encode(each.features("nullable")),
    ):
        refused(lambda take=take: take(long), "seats holds an integer beyond 2^53")
    assert quantile_dmatrix(long, columns=others)[0].num_col() == len(others)
    assert dataset(long, columns=others)[0].num_feature() == len(others)


def memory_is_bounded_by_the_batch(example: Example) -> None:
    """A million rows take no more than XGBoost's own bins, some 70 bytes a row; their features alone would take 104."""
    from feature_sync.integrations.xgboost import quantile_dmatrix

    copies = 40
    extract = example.training_set.write("few.parquet")
    few = pyarrow.parquet.read_table(extract.path)
    with pyarrow.parquet.ParquetWriter("many.parquet", few.schema) as writer:
        for _ in range(copies):
            writer.write_table(few)
    Path("many.parquet.json").write_text(extract.to_json())
    peaks = []
    for path, rows in (("few.parquet", len(few)), ("many.parquet", copies * len(few))):
        assert quantile_dmatrix(path, label="is_late", rows_per_batch=20_000)[0].num_row() == rows
        peaks.append(getrusage(RUSAGE_SELF).ru_maxrss * 1_024)
    assert peaks[1] - peaks[0] < copies * len(few) * len(extract.pin.features) * 8


def an_encoder_says_what_is_wrong(example: Example) -> None:
    from feature_sync.integrations.lightgbm import dataset
    from feature_sync.integrations.xgboost import quantile_dmatrix

    table = example.table
    categories = Categories.of(table)
    refused(lambda: categories.encode(table.features().drop(columns="visib")), "lack visib")
    refused(lambda: categories.encode(table.features().assign(visib="far")), "visib was trained as a number")
    refused(lambda: categories.encode([1, 2]), "feature vectors or a pandas frame")
    refused(lambda: Categories.from_json("{}"), "Categories.to_json()")
    refused(lambda: Categories.of(table, columns=["visibility"]), "no feature visibility")
    refused(lambda: Categories.of(table.to_arrow()), "not a pyarrow.")
    refused(lambda: quantile_dmatrix(table, label="flight_id"), "'flight_id' is string")
    refused(lambda: quantile_dmatrix(table, label="delay"), "no column 'delay'")
    refused(lambda: quantile_dmatrix(table, label="year"), "year is the label and a feature")
    empty = table.take(pyarrow.array([], pyarrow.int64()))
    refused(lambda: quantile_dmatrix(empty, categories=categories), "no row")
    refused(lambda: dataset(empty, categories=categories), "no row")


CHECKS = {
    each.__name__: each
    for each in (
        scikit_learns_own_checks_pass,
        every_fold_is_answered_as_of_its_moments,
        folds_are_answered_in_processes_of_their_own,
        a_grid_search_is_dumped_loaded_and_served,
        rows_keep_their_order_and_index_in_every_form,
        a_lookup_without_a_project_serves_only,
        a_lookup_says_what_is_wrong,
        batches_have_one_list_of_categories,
        served_vectors_are_encoded_as_training_rows,
        the_same_inputs_give_the_same_model_three_times,
        integers_beyond_float64_survive_or_are_refused_by_name,
        memory_is_bounded_by_the_batch,
        an_encoder_says_what_is_wrong,
    )
}

if __name__ == "__main__":
    CHECKS[sys.argv[1]](Example())
    sys.stdout.write("done")
