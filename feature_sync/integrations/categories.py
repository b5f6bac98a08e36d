"""Text features as numbers: one list of categories, for all batches of a training set and for what is served later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import msgspec

from feature_sync.errors import RequestError
from feature_sync.extras import needed_by
from feature_sync.integrations.training_rows import TrainingRows, TrainingSource, training_rows
from feature_sync.serving.columns import EXACT, NUMBERS
from feature_sync.serving.frames import frame_of_table
from feature_sync.serving.vectors import FeatureVector, FeatureVectors
from feature_sync.value_types import parse

if TYPE_CHECKING:
    import numpy
    import pandas

_SHOWN = 5


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    features: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Categories:
    """Encodes features as float64: numbers as they are, text as its place in a list, null and unknown text as NaN.

    Keep it beside the model, as `to_json` writes it: the model knows categories by these places only.

    Args:
        features: The features that the model takes, in order.
        words: The categories of each text feature, sorted.
    """

    features: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]] = field(repr=False)

    @classmethod
    def of(cls, source: TrainingSource, *, columns: Iterable[str] | None = None) -> Self:
        """Read the categories of a training set, in one pass over its batches.

        Args:
            source: The training set, its rows, or a Parquet file of it.
            columns: The features that the model takes; None for all.

        Raises:
            RequestError: A feature is unknown, or neither a number nor text.
        """
        with training_rows(source) as rows:
            return cls.of_rows(rows, columns=columns)

    @classmethod
    def of_rows(cls, rows: TrainingRows, *, columns: Iterable[str] | None = None) -> Self:
        """Read the categories of rows that are open already; see `of`."""
        kinds = {each.name: parse(each.type) for each in rows.pin.features}
        names = tuple(kinds) if columns is None else (columns,) if isinstance(columns, str) else tuple(columns)
        if unknown := [name for name in names if name not in kinds]:
            raise RequestError(f"{rows.pin.service} has no feature {', '.join(unknown)}; it has {', '.join(kinds)}")
        texts = [name for name in names if kinds[name].kind == "string"]
        if others := [f"{name} ({kinds[name]})" for name in names if kinds[name].kind not in (*NUMBERS, "string")]:
            raise RequestError(f"neither numbers nor text: {', '.join(others)}; name the others with columns=")
        words: dict[str, set[str]] = {name: set() for name in texts}
        for batch in rows.read(texts) if texts else ():
            for name, found in words.items():
                found.update(batch.column(name).unique().drop_null().to_pylist())
        return cls(features=names, words={name: tuple(sorted(found)) for name, found in words.items()})

    @property
    def types(self) -> list[str]:
        """The type of each feature in XGBoost's words: `c` for categories, `q` for quantities."""
        return ["c" if name in self.words else "q" for name in self.features]

    @property
    def places(self) -> list[int]:
        """The places of the text features among all features, as LightGBM's `categorical_feature` takes them."""
        return [at for at, name in enumerate(self.features) if name in self.words]

    def encode(self, rows: Any) -> pandas.DataFrame:
        """Encode rows as a frame of float64, shape (rows, features), with the features in order.

        Args:
            rows: Served vectors or one of them, the rows of a training set, or a pandas frame, whose index is kept and
                whose other columns are left out.

        Raises:
            MissingLibrary: pandas is not installed.
            RequestError: A feature is missing, an integer is not exact in float64, or a number is text.
        """
        with needed_by("Categories.encode()"):
            import pandas

        frame = _frame(rows, self.features)
        if missing := [name for name in self.features if name not in frame.columns]:
            raise RequestError(f"the rows lack {_listed(missing)}, which the model takes")
        made = {name: self._encoded(name, frame[name]) for name in self.features}
        return pandas.DataFrame(made, columns=[*self.features], index=frame.index)

    def matrix(self, rows: Any) -> numpy.ndarray[Any, Any]:
        """Encode rows as an array of float64, shape (rows, features); see `encode`."""
        array: numpy.ndarray[Any, Any] = self.encode(rows).to_numpy()
        return array

    def to_json(self) -> str:
        """Write them as JSON; equal categories give equal bytes."""
        document = _Document(features=self.features, categories=dict(self.words))
        return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2).decode() + "\n"

    @classmethod
    def from_json(cls, content: str | bytes) -> Self:
        """Read what `to_json` wrote.

        Raises:
            RequestError: It is something else.
        """
        try:
            document = msgspec.json.decode(content, type=_Document)
        except (msgspec.MsgspecError, UnicodeError) as wrong:
            raise RequestError(f"these are not categories, as Categories.to_json() writes them ({wrong})") from wrong
        return cls(features=document.features, words=document.categories)

    def _encoded(self, name: str, column: pandas.Series[Any]) -> Any:
        words = self.words.get(name)
        if words is None:
            return _numbers(name, column)
        return column.map({word: float(at) for at, word in enumerate(words)}).astype("float64")


def _frame(rows: Any, names: Sequence[str]) -> pandas.DataFrame:
    """Return rows as a pandas frame with at least those of the named features that there are.

    Others may hold what float64 does not.
    """
    if isinstance(rows, FeatureVector | FeatureVectors):
        served = rows.names if isinstance(rows, FeatureVectors) else tuple(rows)
        return rows.to_pandas("numpy" if {*served} <= {*names} else "nullable")
    if hasattr(rows, "pin") and hasattr(rows, "to_arrow"):  # the rows of a training set, or a part of them
        kinds = {each.name: parse(each.type) for each in rows.pin.features}
        frame = frame_of_table(rows.to_arrow().select([name for name in names if name in kinds]), kinds, "numpy")
        return frame if rows.index is None else frame.set_axis(rows.index)
    if hasattr(rows, "iloc") and hasattr(rows, "columns"):
        given: pandas.DataFrame = rows
        return given
    kind = f"{type(rows).__module__.partition('.')[0]}.{type(rows).__qualname__}"
    raise RequestError(f"feature vectors or a pandas frame are needed, and not a {kind}")


def _numbers(name: str, column: pandas.Series[Any]) -> numpy.ndarray[Any, Any]:
    """Return numbers as float64, null as NaN.

    Raises:
        RequestError: An integer is not exact in float64, or a value is not a number.
    """
    import numpy

    try:
        floats: numpy.ndarray[Any, Any] = column.to_numpy(dtype="float64", na_value=numpy.nan)
    except (TypeError, ValueError) as unfit:
        raise RequestError(f"{name} was trained as a number: {unfit}") from unfit
    if column.dtype.kind != "f" and numpy.any(numpy.abs(floats) >= EXACT):
        raise RequestError(f"{name} holds an integer beyond 2^53, which float64 may round; leave it out with columns=")
    return floats


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
