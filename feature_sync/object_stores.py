"""Objects in S3 and Google Cloud Storage, by Arrow's own file systems."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from feature_sync.errors import OutputError, RequestError

if TYPE_CHECKING:
    import pyarrow.fs

_SCHEMES = ("s3", "gs")
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(//)?")
_SECONDS_TO_RETRY = "60"
_SECONDS_TO_CONNECT = 10
_SECONDS_OF_SILENCE = 15
_S3_OPTIONS = ("region", "endpoint_override", "scheme")
_S3_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
_REASONS = (
    (r"NO_SUCH_BUCKET|bucket does not exist|NoSuchBucket|does not exist.*bucket", "the bucket does not exist"),
    (r"ACCESS_DENIED|INVALID_ACCESS_KEY|SIGNATURE|HTTP status 40[13]|PermissionDenied", "access is denied"),
    (r"credentials|Unauthenticated", "there are no credentials; set them as the store's own tools need them"),
    (r"NETWORK_CONNECTION|resolve host|connect|Unavailable|[Tt]imed? ?out", "the store cannot be reached"),
)


def is_uri(text: str) -> bool:
    """True for a URI of an object store.

    Raises:
        RequestError: It is a URI of another kind, or not quite one.
    """
    found = _URI.match(text)
    if found is None or (len(found[1]) == 1 and not found[2]):  # a drive of Windows
        return False
    if found[1].lower() not in _SCHEMES or not found[2]:
        known = " and ".join(f"{each}://BUCKET/NAME" for each in _SCHEMES)
        raise RequestError(f"{without_options(text)} is neither a path nor a URI that can be written to: {known} are")
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAddress:
    """What a URI and the environment say of where a store is and who asks; None is what the store's tools find out."""

    scheme: str
    uri: str
    """The place, without options and credentials."""
    endpoint: str | None = None
    """A URL."""
    region: str | None = None
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


class ObjectFolder:
    """An object store and a name in it, below which objects are written or read.

    Args:
        uri: `s3://BUCKET/NAME` or `gs://BUCKET/NAME`; a query has options of Arrow's file systems, such as `region`.

    Raises:
        RequestError: The URI has no bucket or no name, or an unknown option.
    """

    def __init__(self, uri: str) -> None:
        self.name = without_options(uri)
        self._uri = uri
        parts = urlsplit(uri)
        if not parts.netloc or not parts.path.strip("/"):
            raise RequestError(f"{self.name} has no bucket or no name: write {parts.scheme}://BUCKET/NAME")
        self._opened: tuple[pyarrow.fs.FileSystem, str] | None = None

    @property
    def sidecar(self) -> str:
        """What the name of the sidecar adds to that of the rows."""
        return ".json"

    def check(self) -> None:
        """Check that the store can be reached, and has the bucket; before a query that may take long."""
        with self.translated("written"):
            store, path = self.opened()
            store.get_file_info(path)
            bucket = store.get_file_info(path.partition("/")[0])
        if not bucket.type:
            raise OutputError(f"{self.name} cannot be written: the bucket does not exist")

    def check_readable(self) -> None:
        """Check that the store can be reached, and that the name or its bucket is there.

        Raises:
            RequestError: It cannot, or neither is.
        """
        with self.translated("read"):
            store, path = self.opened()
            found = store.get_file_info(path)
            found = found if found.type else store.get_file_info(path.partition("/")[0])
        if not found.type:
            raise RequestError(f"{self.name} cannot be read: the bucket does not exist")

    def address(self) -> StoreAddress:
        """Return where the store is, for libraries with a client of their own."""
        parts = urlsplit(self._uri)
        options = dict(parse_qsl(parts.query)) if parts.scheme == "gs" else _s3_options(parts)
        host = options.get("endpoint_override")
        return StoreAddress(
            scheme=parts.scheme,
            uri=self.name,
            endpoint=f"{options.get('scheme') or 'https'}://{host}" if host else None,
            region=options.get("region"),
            user=parts.username and unquote(parts.username),
            password=parts.password and unquote(parts.password),
        )

    def upload(self, file: Path, suffix: str) -> None:
        """Upload a file; the object appears when all of it is there."""
        import pyarrow.fs

        with self.translated("written"):
            store, path = self.opened()
            local = pyarrow.fs.LocalFileSystem()
            pyarrow.fs.copy_files(str(file), path + suffix, source_filesystem=local, destination_filesystem=store)

    def delete(self, suffix: str) -> None:
        """Delete an object, if it is there."""
        with self.translated("written"):
            store, path = self.opened()
            if store.get_file_info(path + suffix).is_file:
                store.delete_file(path + suffix)

    def delete_below(self, names: re.Pattern[str]) -> None:
        """Delete the objects directly below the name, which are ours by their names.

        Raises:
            OutputError: There are others.
        """
        import pyarrow.fs

        with self.translated("written"):
            store, path = self.opened()
            found = store.get_file_info(pyarrow.fs.FileSelector(path, allow_not_found=True))
        if others := [each.base_name for each in found if not names.fullmatch(each.base_name)]:
            raise OutputError(f"{self.name} holds {others[0]}, which is not ours to remove; name a folder of its own")
        with self.translated("written"):
            for each in found:
                store.delete_file(each.path)

    def opened(self) -> tuple[pyarrow.fs.FileSystem, str]:
        """Return the store, and the path of the name in it; call it, and use both, within `translated`."""
        if self._opened is None:
            parts = urlsplit(self._uri)
            self._opened = _google(parts) if parts.scheme == "gs" else _s3(parts)
        return self._opened

    @contextmanager
    def translated(self, done: str) -> Iterator[None]:
        """Turn errors of Arrow inside into one that names the place, without the options of its URI.

        Args:
            done: What cannot be done: `read` or `written`.
        """
        import pyarrow

        try:
            yield
        except pyarrow.ArrowInvalid as wrong:
            raise RequestError(f"{self.name}: {_hidden(str(wrong), self._uri)}") from None
        except OSError as refused:
            text = _hidden(str(refused), self._uri)
            reason = next((told for pattern, told in _REASONS if re.search(pattern, text)), text)
            error = RequestError if done == "read" else OutputError
            raise error(f"{self.name} cannot be {done}: {reason}") from None


def _google(parts: SplitResult) -> tuple[pyarrow.fs.FileSystem, str]:
    """Open a store of Google Cloud Storage, which would be tried for fifteen minutes by default."""
    import pyarrow.fs

    options = {"retry_limit_seconds": _SECONDS_TO_RETRY, **dict(parse_qsl(parts.query))}
    opened: tuple[pyarrow.fs.FileSystem, str] = pyarrow.fs.FileSystem.from_uri(
        urlunsplit(parts._replace(query=urlencode(options)))
    )
    return opened


def _s3(parts: SplitResult) -> tuple[pyarrow.fs.FileSystem, str]:
    """Open a store of S3. `FileSystem.from_uri` would wait minutes for one that is silent, and takes no timeouts.

    Raises:
        RequestError: The URI has an unknown option.
    """
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem, resolve_s3_region

    options, bucket = _s3_options(parts), parts.netloc.rpartition("@")[2]
    if "region" not in options and "endpoint_override" not in options and not os.environ.get("AWS_REGION"):
        options["region"] = resolve_s3_region(bucket)
    store = S3FileSystem(
        access_key=parts.username and unquote(parts.username),
        secret_key=parts.password and unquote(parts.password),
        connect_timeout=_SECONDS_TO_CONNECT,
        request_timeout=_SECONDS_OF_SILENCE,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=2),
        **options,
    )
    return store, f"{bucket}{parts.path}"


def _s3_options(parts: SplitResult) -> dict[str, str]:
    """Return the options of a URI, with the endpoint of the environment where it has none of its own."""
    options = dict(parse_qsl(parts.query))
    if unknown := sorted(set(options) - set(_S3_OPTIONS)):
        known, name = ", ".join(_S3_OPTIONS), without_options(urlunsplit(parts))
        raise RequestError(f"{name}: there is no option {unknown[0]!r}; there are {known}")
    if endpoint := s3_endpoint():
        found = urlsplit(endpoint)
        options = {"endpoint_override": found.netloc, "scheme": found.scheme, **options}
    return options


def s3_endpoint() -> str | None:
    """Return the URL that the environment names as the endpoint of S3."""
    return next(filter(None, map(os.environ.get, _S3_ENDPOINTS)), None)


def without_options(uri: str) -> str:
    """Return a URI without what may be secret: its query, and whom it names before the bucket."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def _hidden(text: str, uri: str) -> str:
    """Return an error's text on one line, without values of the URI's query."""
    for _, value in parse_qsl(urlsplit(uri).query):
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "...", text)
    return " ".join(text.replace(uri, without_options(uri)).split())
