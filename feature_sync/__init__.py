"""A feature store for dbt projects: push features to Redis, and answer training questions without seeing the future."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feature_sync.errors import (
        DefinitionError,
        FeatureSyncError,
        OnlineStoreError,
        ProfileError,
        ProjectError,
        RequestError,
        UnknownName,
        WarehouseError,
    )
    from feature_sync.push.report import Pushed, PushReport
    from feature_sync.service_schema import Pin
    from feature_sync.serving.async_client import AsyncFeatureClient
    from feature_sync.serving.client import FeatureClient
    from feature_sync.serving.pins import DriftWarning, PinMismatch
    from feature_sync.serving.served_log import ServedLog
    from feature_sync.serving.status import Status
    from feature_sync.serving.vectors import FeatureVector, FeatureVectors
    from feature_sync.store import FeatureStore
    from feature_sync.training import Extract, TrainingSet, TrainingTable
    from feature_sync.verify.report import Verified, VerifyReport

__version__ = "0.1.0"
__all__ = [
    "AsyncFeatureClient",
    "DefinitionError",
    "DriftWarning",
    "Extract",
    "FeatureClient",
    "FeatureStore",
    "FeatureSyncError",
    "FeatureVector",
    "FeatureVectors",
    "OnlineStoreError",
    "Pin",
    "PinMismatch",
    "ProfileError",
    "ProjectError",
    "PushReport",
    "Pushed",
    "RequestError",
    "ServedLog",
    "Status",
    "TrainingSet",
    "TrainingTable",
    "UnknownName",
    "Verified",
    "VerifyReport",
    "WarehouseError",
    "__version__",
]
_MODULES = {
    "errors": ("DefinitionError", "FeatureSyncError", "OnlineStoreError", "ProfileError", "ProjectError",
               "RequestError", "UnknownName", "WarehouseError"),
    "serving.async_client": ("AsyncFeatureClient",),
    "serving.client": ("FeatureClient",),
    "serving.pins": ("DriftWarning", "PinMismatch"),
    "serving.served_log": ("ServedLog",),
    "serving.status": ("Status",),
    "serving.vectors": ("FeatureVector", "FeatureVectors"),
    "service_schema": ("Pin",),
    "push.report": ("PushReport", "Pushed"),
    "store": ("FeatureStore",),
    "training": ("Extract", "TrainingSet", "TrainingTable"),
    "verify.report": ("Verified", "VerifyReport"),
}  # fmt: skip
_FOR_SERVING = ("errors", "serving.", "service_schema")
"""How the modules begin that work wherever feature-sync is installed; the others work on a dbt project."""


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for, so that `feature-sync --help` and clients start quickly.

    Raises:
        AttributeError: The package does not have this name.
        MissingLibrary: The name is one for dbt projects, whose libraries an installation for serving lacks.
    """
    for module, names in _MODULES.items():
        if name in names:
            if not module.startswith(_FOR_SERVING):
                import_module(f"{__name__}.extras").require_project_libraries()
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
