"""scikit-learn's own checks of `FeatureLookup`.

They give arrays of numbers, and the lookup takes frames whose columns are keys. Its tags say so (`two_d_array` is
false), for which scikit-learn leaves out all checks but that of `clone`. `CarriersByNumber` makes the frame of the
array, so that all of them run, of a view without text, since they compare results as numbers.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy
import pandas
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import validate_data

from feature_sync.integrations.sklearn import FeatureLookup

CARRIERS = ["9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "UA", "US", "VX", "WN", "YV", "ZZ"]
"""All that the example has, and one that it lacks."""


class CarriersByNumber(FeatureLookup):
    """Looks up the carrier that the first column of an array of numbers stands for; all else is `FeatureLookup`."""

    def fit(self, X: Any, y: Any = None) -> Any:  # noqa: N803
        numbers = validate_data(self, X, reset=True)
        super().fit(self.named(numbers), y)
        validate_data(self, X, reset=True)
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803
        if not hasattr(self, "pin_"):
            return super().transform(X)
        return super().transform(self.named(validate_data(self, X, reset=False)))

    def named(self, numbers: Any) -> pandas.DataFrame:
        places = (numpy.abs(numbers[:, 0]) * 10).astype(int) % len(CARRIERS)
        return pandas.DataFrame({"carrier": [CARRIERS[at] for at in places]})

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.string = tags.input_tags.categorical = tags.input_tags.allow_nan = False
        tags.no_validation = False
        return tags


def check_all(lookup: FeatureLookup) -> int:
    """Run all checks; returns how many passed. None is left out, but of arrays that this NumPy does not have.

    Raises:
        AssertionError: A check failed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = check_estimator(lookup, on_fail="raise", on_skip=None)
    others = {each["check_name"]: each["status"] for each in done if each["status"] != "passed"}
    assert others in ({}, {"check_array_api_input": "skipped"}), others
    return len(done) - len(others)
