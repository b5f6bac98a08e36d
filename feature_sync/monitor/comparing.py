"""Compares a column of served values with the column that training answers, row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from enum import IntEnum
from typing import Any

_NUMBERS = (int, float, Decimal)


class Outcome(IntEnum):
    """How one served value compares with that of training."""

    MATCHING = 0
    DIFFERENT = 1
    MISSING = 2
    EXTRA = 3


class ColumnComparison:
    """The outcomes of a column, and the sizes of its differences."""

    def __init__(
        self, served: Sequence[Any], expected: Sequence[Any], *, absent: Sequence[bool], tolerance: float
    ) -> None:
        """Compare.

        Args:
            served: The served values.
            expected: Those of training, in the same order.
            absent: True where serving had no row, so that it answered null or the default.
            tolerance: The relative difference up to which floats match.
        """
        self.outcomes: list[Outcome] = []
        self.differences: list[float] = []
        """The finite absolute differences of numbers that differ."""
        for value, right, is_absent in zip(served, expected, absent, strict=True):
            outcome = compared(value, right, is_absent=is_absent, tolerance=tolerance)
            self.outcomes.append(outcome)
            if outcome is not Outcome.MATCHING and _is_number(value) and _is_number(right):
                difference = abs(float(value) - float(right))
                if math.isfinite(difference):
                    self.differences.append(difference)

    def count(self, outcome: Outcome) -> int:
        """How many values have an outcome."""
        return self.outcomes.count(outcome)


def compared(value: Any, expected: Any, *, is_absent: bool, tolerance: float) -> Outcome:
    """Compare one value.

    Args:
        value: The served value.
        expected: That of training.
        is_absent: True if serving had no row.
        tolerance: The relative difference up to which floats match.
    """
    if matches(value, expected, tolerance):
        return Outcome.MATCHING
    if value is None or is_absent:
        return Outcome.MISSING
    return Outcome.EXTRA if expected is None else Outcome.DIFFERENT


def matches(value: Any, expected: Any, tolerance: float) -> bool:
    """True if two values are equal, or floats close to each other, also within lists and structs; NaN equals NaN."""
    if isinstance(value, float) and isinstance(expected, float):
        if math.isnan(value) or math.isnan(expected):
            return math.isnan(value) and math.isnan(expected)
        return math.isclose(value, expected, rel_tol=tolerance, abs_tol=0.0)
    if isinstance(value, list) and isinstance(expected, list):
        return len(value) == len(expected) and all(
            matches(one, other, tolerance) for one, other in zip(value, expected, strict=True)
        )
    if isinstance(value, dict) and isinstance(expected, dict):
        return value.keys() == expected.keys() and all(
            matches(value[name], expected[name], tolerance) for name in value
        )
    return bool(value == expected)


def _is_number(value: Any) -> bool:
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)
