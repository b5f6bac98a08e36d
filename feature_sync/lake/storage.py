"""Where a table of a lake is: a folder here, or in an object store, in the words of the library that reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from feature_sync.errors import RequestError
from feature_sync.lake.base import LakeError
from feature_sync.object_stores import ObjectFolder, StoreAddress, is_uri, s3_endpoint

_OTHERS = ("az://", "abfs://", "abfss://", "file://")
"""Places that the libraries know and Arrow's file systems here do not; their options are `storage_options`."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A place, and the options with which its library opens it."""

    place: str
    options: dict[str, str] = field(default_factory=dict, repr=False)
    _folder: ObjectFolder | None = field(default=None, repr=False)
    _has_own_options: bool = False

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Say of a table that cannot be opened inside whether it is the store: unreachable, denied, without the bucket.

        Arrow's file system is asked only now, since who gives `storage_options` need not have credentials elsewhere.
        """
        try:
            yield
        except LakeError:
            if self._folder is not None and not self._has_own_options:
                self._folder.check_readable()
            raise


def object_storage(path: str, given: Mapping[str, str]) -> Storage:
    """Return a place for a library that is built on the Rust crate `object_store`, as those of Hudi and Delta are.

    Args:
        path: A folder, or a URI with the options that `extract -o` takes.
        given: The `storage_options` of `profiles.yml`, which have the last word.

    Raises:
        RequestError: The URI is of a kind that nobody here reads, or not quite one.
    """
    folder = _object_folder(path)
    if folder is None:
        return Storage(path if "://" in path else str(Path(path).absolute()), dict(given))
    address = folder.address()
    options = _of_s3(address) if address.scheme == "s3" else _of_google(address)
    return Storage(
        address.uri, {key: value for key, value in options.items() if value} | dict(given), folder, bool(given)
    )


def iceberg_storage(path: str) -> Storage:
    """Return the place of a table's metadata for pyiceberg."""
    if not path.startswith(("s3://", "gs://")):
        return Storage(path)
    folder = ObjectFolder(path)
    address = folder.address()
    options = {
        "s3.endpoint": address.endpoint,
        "s3.region": address.region,
        "s3.access-key-id": address.user,
        "s3.secret-access-key": address.password,
    }
    if address.scheme == "gs":
        options = {"gcs.service.host": address.endpoint}
    return Storage(address.uri, {key: value for key, value in options.items() if value}, folder)


def iceberg_defaults() -> dict[str, str]:
    """Return the properties that a catalog has unless it says otherwise: pyiceberg reads no endpoint of S3's tools."""
    endpoint = s3_endpoint()
    return {"s3.endpoint": endpoint} if endpoint else {}


def _object_folder(path: str) -> ObjectFolder | None:
    if path.startswith(_OTHERS):
        return None
    try:
        is_in_store = is_uri(path)
    except RequestError as wrong:
        raise RequestError(f"{wrong}; of Hudi and Delta also {', '.join(_OTHERS[:-1])}") from wrong
    return ObjectFolder(path) if is_in_store else None


def _of_s3(address: StoreAddress) -> dict[str, str | None]:
    return {
        "aws_endpoint_url": address.endpoint,
        "aws_region": address.region,
        "aws_access_key_id": address.user,
        "aws_secret_access_key": address.password,
        "aws_allow_http": _allows_http(address),
    }


def _of_google(address: StoreAddress) -> dict[str, str | None]:
    return {
        "google_base_url": address.endpoint,
        "google_skip_signature": "true" if address.user == "anonymous" else None,
        "google_allow_http": _allows_http(address),
    }


def _allows_http(address: StoreAddress) -> str | None:
    return "true" if (address.endpoint or "").startswith("http://") else None
