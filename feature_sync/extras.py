"""Optional libraries, and what to install for them: `pip install feature-sync` brings only what serving needs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from feature_sync.errors import FeatureSyncError

_OF_PROJECTS = ("jinja2", "pyarrow", "redis", "rich", "sqlglot", "yaml")
"""What the extra `project` brings and is imported, whatever the warehouse; `tzdata` is read only where no other is."""
_OF_FRAMES = ("numpy", "pandas", "polars", "pyarrow")
_OF_SERVERS = ("httptools", "prometheus_client", "starlette", "uvicorn", "uvloop")
_OF_MODELS = ("lightgbm", "mlflow", "sklearn", "tensorflow", "torch", "xgboost")
"""Each has an extra of its own, of the same name."""
_OF_LAKES = {"deltalake": "delta", "hudi": "hudi", "pyiceberg": "iceberg"}
_EXTRAS = {
    **dict.fromkeys(_OF_SERVERS, "server"),
    **{name: name for name in (*_OF_MODELS, "openlineage")},
    "confluent_kafka": "kafka",
    "fastavro": "avro",
    "google": "protobuf",
    **_OF_LAKES,
}
"""The extra that brings a library."""


class MissingLibrary(FeatureSyncError):
    """A library is not installed that only some users need; the text says how to install it."""


def require_project_libraries() -> None:
    """Check that the libraries are installed with which dbt projects are read, pushed and trained on.

    Raises:
        MissingLibrary: One is not, as in an installation for serving.
    """
    if missing := [name for name in _OF_PROJECTS if not _is_installed(name)]:
        raise MissingLibrary(
            f"a dbt project needs {', '.join(missing)}: pip install 'feature-sync[duckdb]' "
            "(or [postgres], [bigquery], [spark])"
        )


def require_pyarrow(what: str) -> None:
    """Check that pyarrow is installed, without its import.

    Args:
        what: What needs it.

    Raises:
        MissingLibrary: It is not.
    """
    if not _is_installed("pyarrow"):
        raise _missing(what, "pyarrow")


def _is_installed(name: str) -> bool:
    from importlib.util import find_spec

    return sys.modules.get(name) is not None or find_spec(name) is not None


def _missing(what: str, library: str) -> MissingLibrary:
    extra = _EXTRAS.get(library)
    install = library if extra is None else f"'feature-sync[{extra}]'"
    return MissingLibrary(f"{what} needs {library}: pip install {install}")


@contextmanager
def needed_by(what: str) -> Iterator[None]:
    """Say what needs a library of frames or of an extra that is imported inside and not installed.

    Args:
        what: What the caller asked for, such as `to_arrow()`.

    Raises:
        MissingLibrary: Such a library is missing; the absence of any other module is an error of its own.
    """
    try:
        yield
    except ModuleNotFoundError as absent:
        library = (absent.name or "").partition(".")[0]
        if library not in (*_OF_FRAMES, *_EXTRAS):
            raise
        raise _missing(what, library) from absent
