"""Translates the errors of Spark Connect into ours, with the remedy for Spark's error class."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pyarrow
from pyspark.errors import PySparkException

from feature_sync.errors import UnfitValue, WarehouseError

_ERROR_CLASS = re.compile(r"\[([A-Z][A-Z0-9_.]+)\]")
_LOST = re.compile(r"StatusCode\.UNAVAILABLE|INVALID_HANDLE|SESSION_(?:CLOSED|CHANGED|NOT_FOUND)|RETRIES_EXCEEDED")
_DENIED = re.compile(r"StatusCode\.(?:UNAUTHENTICATED|PERMISSION_DENIED)")
_NOISE = re.compile(r"(?: ?JVM stacktrace:.*| ?SQLSTATE: \w+|; line \d+ pos \d+;?.*| == SQL .*)", re.DOTALL)
_REMEDIES = {
    "TABLE_OR_VIEW_NOT_FOUND": "run dbt build, in the same catalog that Spark Connect reads",
    "SCHEMA_NOT_FOUND": "run dbt build, in the same catalog that Spark Connect reads",
    "UNRESOLVED_COLUMN": "run dbt build if the model has the column",
    "OPERATION_CANCELED": "it had no effect",
    "FAILED_READ_FILE": "the table was rewritten or removed while it was read; run this again",
}


@contextmanager
def translating(where: str) -> Iterator[None]:
    """Turn errors of the client, of the network and of Arrow's conversions inside into ours; `where` is the address."""
    try:
        yield
    except (PySparkException, grpc.RpcError) as refused:
        raise _translated(refused, where) from refused
    except pyarrow.ArrowException as unfit:
        raise WarehouseError(f"a value does not fit its column: {unfit}; cast the column in the model") from unfit


def _translated(refused: Exception, where: str) -> WarehouseError:
    text = " ".join(_NOISE.sub("", str(refused)).split())
    if unfit := UnfitValue.read(str(refused)):
        return unfit
    if _LOST.search(str(refused)):
        return WarehouseError(
            f"the session of Spark Connect at {where} is lost: the server cannot be reached, or was restarted; "
            "nothing was written; run this again when it is up"
        )
    if _DENIED.search(str(refused)):
        return WarehouseError(
            f"Spark Connect at {where} denies access; see user and token in its address in profiles.yml"
        )
    return WarehouseError("; ".join(filter(None, [f"Spark: {text}", _remedy(text)])))


def _remedy(text: str) -> str:
    known = (match.partition(".")[0] for match in _ERROR_CLASS.findall(text))
    return next((_REMEDIES[name] for name in known if name in _REMEDIES), "")
