"""Translates BigQuery's errors into ours, with the remedy for Google's reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from google.api_core.exceptions import GoogleAPICallError, NotFound, RetryError
from google.auth.exceptions import GoogleAuthError
from requests.exceptions import RequestException

from feature_sync.errors import WarehouseConflict, WarehouseError

_REMEDIES = {
    "accessDenied": "grant the account BigQuery Job User on the project that pays, and BigQuery Data Editor on the "
    "dataset (feature-sync keeps its own tables in <dataset>_feature_sync); feature-sync grants prints all rights",
    "backendError": "BigQuery failed for longer than its client retries; run this again",
    "billingNotEnabled": "enable billing for the project",
    "bytesBilledLimitExceeded": "raise maximum_bytes_billed in profiles.yml, or ask for less",
    "quotaExceeded": "wait until the quota is free again, or have it raised",
    "rateLimitExceeded": "run this again with fewer --threads",
    "resourcesExceeded": "ask for fewer views or a shorter time at once",
    "stopped": "the job was cancelled, or took longer than profiles.yml allows; it had no effect",
    "timeout": "it had no effect; raise job_execution_timeout_seconds in profiles.yml",
}
_ADDRESS = re.compile(r"^(?:GET|POST|PUT|PATCH|DELETE) \S+ ")
FAILURES = (GoogleAPICallError, RetryError, GoogleAuthError, RequestException)


@contextmanager
def translating() -> Iterator[None]:
    """Turn errors of the client, and of Arrow's conversions, inside into ours."""
    import pyarrow

    try:
        yield
    except TimeoutError as late:
        raise WarehouseError(f"BigQuery: the job took too long; {_REMEDIES['timeout']}") from late
    except FAILURES as refused:
        raise _translated(refused) from refused
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as unfit:
        raise WarehouseError(f"a value does not fit its column: {unfit}; cast the column in the model") from unfit


def _translated(refused: Exception) -> WarehouseError:
    """Return an error with BigQuery's message on one line, and what to do."""
    cause = refused.cause if isinstance(refused, RetryError) and refused.cause is not None else refused
    if not isinstance(cause, GoogleAPICallError):
        return WarehouseError(f"BigQuery cannot be reached: {' '.join(str(cause).split())}")
    text = " ".join(_ADDRESS.sub("", cause.message).partition("; reason:")[0].split())
    reasons = [each.get("reason") for each in cause.errors if isinstance(each, dict)]
    if "due to concurrent update" in text or "duplicate" in reasons:
        return WarehouseConflict(f"BigQuery: {text}")
    if isinstance(cause, NotFound):
        remedy = "run dbt build; if it exists, set location in profiles.yml to that of its dataset"
    else:
        remedy = next((_REMEDIES[reason] for reason in reasons if reason in _REMEDIES), "")
    return WarehouseError("; ".join(filter(None, [f"BigQuery: {text}", remedy])))
