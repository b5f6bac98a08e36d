"""A scikit-learn transformer that looks features up: as of the moments of rows that have them, else as served now."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from feature_sync.errors import RequestError, did_you_mean
from feature_sync.extras import needed_by
from feature_sync.integrations.lookups import Lookup, OnlineLookup, ProjectLookup
from feature_sync.serving.client import TIMEOUT
from feature_sync.serving.frames import check_dtypes
from feature_sync.serving.pins import check_on_drift, compare

with needed_by("feature_sync.integrations.sklearn"):
    import numpy
    import pandas
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.utils.validation import check_is_fitted, validate_data

if TYPE_CHECKING:
    from sklearn.utils import Tags

_ON_MISSING = ("null", "raise")


class FeatureLookup(TransformerMixin, BaseEstimator):
    """Turns rows of keys into the features of a service, in its order.

    The rows decide how: rows with the moment column are answered by the warehouse as of their moments, as a training
    set is; rows without it are answered by Redis, as they are served. So `cross_val_score` judges each fold by what was
    known at its moments, and the same pipeline serves. The result is a pandas frame with the index of the rows, of
    shape (rows, features); after `set_output(transform="default")` it is a NumPy array.

    Nothing is read before `fit`, which learns the names of the features, and no row is learned from. A pickle holds
    the parameters and the pin of the service, and no connection.

    >>> lookup = FeatureLookup("flights", "departure_delay_model", moment="asked_at")           # doctest: +SKIP
    >>> make_pipeline(lookup, HistGradientBoostingClassifier()).fit(flights, is_late)           # doctest: +SKIP
    """

    def __init__(
        self,
        project: str | os.PathLike[str] | None = None,
        service: str | None = None,
        *,
        moment: str | None = "event_timestamp",
        on_missing: str = "null",
        dtypes: str = "numpy",
        keys: Mapping[str, str] | None = None,
        redis_url: str | None = None,
        prefix: str | None = None,
        timeout: float = TIMEOUT,
        max_age: timedelta | None = None,
        on_drift: str = "raise",
        profiles_dir: str | os.PathLike[str] | None = None,
        target: str | None = None,
    ) -> None:
        """Keep the parameters as they are; `fit` and `transform` check them.

        Args:
            project: Folder of the dbt project; None to serve only, with `prefix`.
            service: Name of the feature service.
            moment: Column of the moment asked; None to answer all rows as they are served.
            on_missing: `"null"` answers null, or the default of the feature, where a view has no row in Redis;
                `"raise"` refuses such rows.
            dtypes: Of the frame: numpy, nullable or arrow; see `FeatureVectors.to_pandas`.
            keys: Columns that are called otherwise than the keys, by key.
            redis_url: Address of Redis, without a password, which a pickle would hold: the default is
                `FEATURE_SYNC_REDIS_URL`.
            prefix: Prefix of the keys in Redis; the default is that of the project.
            timeout: Seconds that a request to Redis may take.
            max_age: Oldest age at which a row answers online, besides its TTL; without a project only.
            on_drift: What to do if the service no longer has the shape that it had at `fit`: raise or warn.
            profiles_dir: Folder of profiles.yml.
            target: Target to use instead of the profile's.
        """
        self.project = project
        self.service = service
        self.moment = moment
        self.on_missing = on_missing
        self.dtypes = dtypes
        self.keys = keys
        self.redis_url = redis_url
        self.prefix = prefix
        self.timeout = timeout
        self.max_age = max_age
        self.on_drift = on_drift
        self.profiles_dir = profiles_dir
        self.target = target

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803 - scikit-learn's own names
        """Learn the names of the features, and the pin, from the project or else from the card in Redis.

        Args:
            X: Rows with the keys: a frame of pandas or polars.
            y: Ignored.

        Raises:
            FeatureSyncError: A parameter makes no sense, X lacks a key, or project or Redis cannot be read.
        """
        self._check_parameters()
        validate_data(self, X, skip_check_array=True, reset=True)
        lookup = self._lookup()
        pin = lookup.pin()
        self._rows(X, [name for name, _ in pin.key_types])
        self.pin_ = pin
        self._opened = lookup
        return self

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:  # noqa: N803 - see `fit`
        """Fit, then transform.

        Raises:
            RequestError: There are labels and no moments: a model would be trained on features that were not known.
        """
        if y is not None and self.moment is not None and self.moment not in _names(X):
            raise RequestError(
                f"X has no column {self.moment!r} with the moments, so a model would be trained on features as they "
                'are now; name the column with moment="...", or say moment=None'
            )
        return super().fit_transform(X, y, **fit_params)

    def transform(self, X: Any) -> Any:  # noqa: N803 - see `fit`
        """Look the features up.

        Args:
            X: Rows with the keys, and with the moment column to be answered as of it; other columns are left out.

        Returns:
            The features, shape (rows, features), in the order of X.

        Raises:
            NotFittedError: `fit` was not called.
            PinMismatch: The service no longer has the shape that it had at `fit`.
            FeatureSyncError: X lacks a key, an entity is unknown and `on_missing` is `"raise"`, or the warehouse or
                Redis failed.
        """
        check_is_fitted(self, "pin_")
        self._check_parameters()
        keys = [name for name, _ in self.pin_.key_types]
        rows = self._rows(X, keys)
        lookup = self._lookup()
        if self.moment is not None and self.moment in rows.columns:
            features, pin = lookup.as_of(rows, self.moment, self.dtypes)
        else:
            features, pin = lookup.now(rows[keys], self.dtypes, refuse_missing=self.on_missing == "raise")
        compare(self.pin_, pin, warns=self.on_drift == "warn")
        return features.to_numpy() if self._wants_numpy else features

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> numpy.ndarray[Any, Any]:  # noqa: ARG002 - scikit-learn's
        """Return the names of the features, in the order of the service.

        Args:
            input_features: Ignored: the names come from the service.

        Raises:
            NotFittedError: `fit` was not called.
        """
        check_is_fitted(self, "pin_")
        return numpy.array([each.name for each in self.pin_.features], dtype=object)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is open; a copy opens its own."""
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("_opened", None)
        return state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # keys have names
        tags.input_tags.string = tags.input_tags.categorical = tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        tags.no_validation = True
        return tags

    @property
    def _wants_numpy(self) -> bool:
        """True after `set_output(transform="default")`."""
        return bool(getattr(self, "_sklearn_output_config", {}).get("transform") == "default")

    def _check_parameters(self) -> None:
        if self.service is None:
            raise RequestError("name a feature service: FeatureLookup(project, service)")
        if self.project is None and self.prefix is None:
            raise RequestError(
                "name the folder of the dbt project, or to serve without it prefix=..., the name of that project"
            )
        if self.project is not None and self.max_age is not None:
            raise RequestError("max_age is for a lookup without a project; with one, the TTL of each view decides")
        if self.on_missing not in _ON_MISSING:
            raise RequestError(
                f"on_missing={self.on_missing!r} does not exist{did_you_mean(str(self.on_missing), _ON_MISSING)}"
            )
        check_dtypes(self.dtypes)
        check_on_drift(self.on_drift)
        if self.redis_url is not None and urlsplit(self.redis_url).password:
            raise RequestError(
                "a pickled pipeline would hold the password of redis_url; set FEATURE_SYNC_REDIS_URL instead"
            )

    def _lookup(self) -> Lookup:
        """Return what reads project or Redis; opened once for the parameters as they are."""
        opened: Lookup | None = self.__dict__.get("_opened")
        wanted = self._new_lookup()
        if opened is None or opened.options != wanted.options:
            opened = self._opened = wanted
        return opened

    def _new_lookup(self) -> Lookup:
        service = str(self.service)
        if self.project is None:
            return OnlineLookup(
                service, redis_url=self.redis_url, prefix=self.prefix, timeout=self.timeout, max_age=self.max_age
            )
        options = {
            "profiles_dir": self.profiles_dir,
            "target": self.target,
            "redis_url": self.redis_url,
            "redis_timeout": self.timeout,
            "key_prefix": self.prefix,
        }
        return ProjectLookup(service, self.project, options)

    def _rows(self, X: Any, keys: Sequence[str]) -> pandas.DataFrame:  # noqa: N803 - see `fit`
        """Return the keys under their own names, and the moment column if there is one."""
        frame = _frame(X)
        renamed = {key: (self.keys or {}).get(key, key) for key in keys}
        if unknown := [key for key in self.keys or {} if key not in renamed]:
            raise RequestError(f"{self.service} has no key {', '.join(unknown)}; its keys are {', '.join(keys)}")
        if missing := [name for name in renamed.values() if name not in frame.columns]:
            raise RequestError(f"X has no column {', '.join(missing)}, which {self.service} needs as a key")
        columns = {key: frame[name] for key, name in renamed.items()}
        if self.moment is not None and self.moment in frame.columns:
            columns[self.moment] = frame[self.moment]
        return pandas.DataFrame(columns, index=frame.index)


def _names(rows: Any) -> list[Any]:
    return [*getattr(rows, "columns", ())]


def _frame(rows: Any) -> pandas.DataFrame:
    """Return rows as a pandas frame.

    Raises:
        TypeError: They are no frame, so that nobody knows which column is which key.
    """
    if isinstance(rows, pandas.DataFrame):
        return rows
    if hasattr(rows, "columns") and hasattr(rows, "to_pandas"):  # polars
        frame: pandas.DataFrame = rows.to_pandas()
        return frame
    raise TypeError(
        f"X is a frame whose columns name the keys, and not a {type(rows).__module__}.{type(rows).__qualname__}"
    )
