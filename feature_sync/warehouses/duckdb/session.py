"""A DuckDB file, opened as the profile demands, with every setting pinned that our SQL depends on."""

from __future__ import annotations

import math
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Self, TypeVar

import duckdb

from feature_sync.definitions import Target
from feature_sync.errors import ProfileError, WarehouseError
from feature_sync.warehouses.base import never, read_settings
from feature_sync.warehouses.duckdb import interruptible
from feature_sync.warehouses.duckdb.errors import is_locked, translated, translating
from feature_sync.warehouses.duckdb.settings import DuckDBSettings, extensions, names_file, statements, without_values

Result = TypeVar("Result")
_PINNED = {
    "arrow_large_buffer_size": "false",
    "arrow_lossless_conversion": "false",
    "arrow_output_list_view": "false",
    "arrow_output_version": "1.0",
    "calendar": "gregorian",
    "default_collation": "",
    "timezone": "UTC",
}
"""Settings that a profile or the machine may change, and on which our SQL or the types of results depend.

Settings that only affect the SQL of models, such as `default_order` or `integer_division`, stay as in the profile, so
that a view gives what dbt sees. Our own SQL depends on none of these."""
_OPENING = Lock()
"""Held to open or close a file: during either, DuckDB cannot determine for other threads whether it is open here."""
_SECONDS_TO_REOPEN = 60
_SECONDS_BETWEEN_TRIES = 0.1


class Session:
    """One DuckDB file. After `close` it opens again at the next use, so that other processes can write in between."""

    def __init__(
        self,
        path: Path,
        settings: DuckDBSettings,
        *,
        project_dir: Path,
        writable: bool,
        patience: float,
        stopped: Callable[[], bool],
    ) -> None:
        """Open the file.

        Args:
            path: The file, which exists.
            settings: The fields of the profile.
            project_dir: The folder to which paths of attached databases are relative.
            writable: Write to the file, which excludes other processes.
            patience: How many seconds to wait while another process has the file locked.
            stopped: Ends the waiting when it returns True.
        """
        self.path = path
        self._settings = settings
        self._project_dir = project_dir
        self._writable = writable
        self._stopped = stopped
        self._patience = max(patience, _SECONDS_TO_REOPEN)
        self._opened: duckdb.DuckDBPyConnection | None = self._open(patience)

    @classmethod
    def of(cls, target: Target, *, writable: bool, wait: bool, stopped: Callable[[], bool] = never) -> Self:
        """Open the file of a target; as in dbt, a relative path starts at the project.

        Args:
            target: The target.
            writable: Write to the file, which excludes other processes.
            wait: Wait as long as another process has the file locked.
            stopped: Ends the waiting when it returns True.

        Raises:
            ProfileError: The target keeps its tables in memory, or a field is wrong.
            WarehouseError: The file does not exist, is locked, or is not a database.
        """
        settings = read_settings(target, DuckDBSettings)
        open_with = partial(
            cls, settings=settings, project_dir=Path(target.project_dir), writable=writable, stopped=stopped
        )
        if settings.connection is not None:
            return open_with(Path(target.project_dir, settings.path), patience=0)
        path = _file_of(target, settings)
        if not path.exists():
            raise WarehouseError(f"{path} does not exist; run dbt build")
        return open_with(path, patience=math.inf if wait else 0)

    @classmethod
    def create(cls, target: Target) -> None:
        """Make an empty file for a target unless there is one.

        Raises:
            ProfileError: The target keeps its tables in memory, or a field is wrong.
            WarehouseError: The folder does not exist, or cannot be written to.
        """
        path = _file_of(target, read_settings(target, DuckDBSettings))
        with _OPENING:
            if path.exists():
                return
            made = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            try:
                duckdb.connect(str(made)).close()
                made.chmod(0o600)  # it holds values of features
                os.link(made, path)  # at once, and whole
            except FileExistsError:
                pass  # another process has just made it
            except (duckdb.Error, OSError) as refused:
                raise WarehouseError(f"{path} cannot be made: {one_line(refused)}") from refused
            finally:
                made.unlink(missing_ok=True)

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection; opens the file again if it was closed."""
        if self._opened is None:
            self._opened = self._open(self._patience)
        return self._opened

    def run(self, work: Callable[[duckdb.DuckDBPyConnection], Result]) -> Result:
        """Run work that may take long; signals and `interrupt` end it."""
        connection = self.connection
        with translating():
            return interruptible.run(partial(work, connection), interrupt=connection.interrupt)

    def interrupt(self) -> None:
        """Interrupt what runs; no-op if the file is closed."""
        if (opened := self._opened) is not None:
            with suppress(duckdb.Error):  # it may be closed by now
                opened.interrupt()

    def close(self) -> None:
        """Close the file, so that other processes can write to it."""
        if self._opened is not None:
            with _OPENING:
                self._opened.close()
            self._opened = None

    def _open(self, patience: float) -> duckdb.DuckDBPyConnection:
        """Open the file; tries again for `patience` seconds while another process has it locked."""
        if self._settings.connection is not None:
            return self._borrowed(self._settings.connection)
        config = self._settings.config_options or {}
        deadline = time.monotonic() + patience
        while True:
            try:
                with _OPENING:
                    connection = duckdb.connect(str(self.path), read_only=not self._writable, config=config)
                with _closing_on_failure(connection):
                    interruptible.run(partial(self._set_up, connection), interrupt=connection.interrupt)
            except duckdb.Error as refused:
                if not is_locked(refused) or time.monotonic() >= deadline or self._stopped():
                    text = str(translated(refused, str(self.path)))
                    # from None: DuckDB's own message may quote secrets of the profile
                    raise WarehouseError(without_values(text, self._settings)) from None
                time.sleep(_SECONDS_BETWEEN_TRIES)
            else:
                return connection

    @staticmethod
    def _borrowed(lender: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        """Return a connection of our own to the database of the caller's, which stays as it is when ours is closed."""
        try:
            connection = lender.cursor()
        except (AttributeError, duckdb.Error) as closed:
            raise WarehouseError(f"the connection given is no open connection of DuckDB: {closed}") from closed
        with _closing_on_failure(connection), translating():
            pin(connection)
        return connection

    def _set_up(self, connection: duckdb.DuckDBPyConnection) -> None:
        with suppress(duckdb.InvalidInputException):  # `config_options` may have locked the configuration
            connection.execute("set enable_progress_bar = false")  # it is written to stdout, amid our own output
        pin(connection)  # before the profile's statements, which may lock the configuration
        self._follow_profile(connection)
        if self._settings.settings or self._settings.extensions:
            pin(connection)  # once more: settings and extensions may have changed a pinned one

    def _follow_profile(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Set a new connection up as dbt-duckdb does; errors name the profile's key, never its value."""
        for name, install in extensions(self._settings):
            try:
                connection.load_extension(name)
            except duckdb.Error:
                with self._naming(f"extensions: {name}"):
                    connection.execute(install)
                    connection.load_extension(name)
        for key, statement in statements(self._settings, self._project_dir):
            with self._naming(key, silent=key.startswith("secrets")):
                connection.execute(statement)

    @contextmanager
    def _naming(self, key: str, *, silent: bool = False) -> Iterator[None]:
        """Turn DuckDB's errors inside into one that names the profile's key; `_open` needs that of a lock unchanged.

        DuckDB's message may quote a secret: it is left out if `silent`, else the profile's values are struck out.
        """
        try:
            yield
        except duckdb.Error as refused:
            if is_locked(refused):
                raise
            text = "DuckDB refuses it" if silent else without_values(" ".join(str(refused).split()), self._settings)
            raise ProfileError(f"the profile's {key}: {text}") from None


def _file_of(target: Target, settings: DuckDBSettings) -> Path:
    if not names_file(settings.path) and not settings.path.startswith(":memory:"):
        raise ProfileError(f"target {target.name}: path is not a file, and nothing else is supported")
    if settings.path.startswith(":memory:"):
        raise ProfileError(f"target {target.name}: path is {settings.path}, which is gone when dbt ends; name a file")
    return Path(target.project_dir, settings.path)


def one_line(error: Exception) -> str:
    """Return a message on one line."""
    return " ".join(str(error).split())


def pin(connection: duckdb.DuckDBPyConnection) -> None:
    """Set the pinned settings that differ, and only these: a profile may have locked the configuration."""
    found = connection.execute("select name, value from duckdb_settings()").fetchall()
    for name, value in found:
        wanted = _PINNED.get(name.lower())
        if wanted is not None and value.lower() != wanted.lower():
            connection.execute(f"set {name} = '{wanted}'")


@contextmanager
def _closing_on_failure(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Close a connection whose setup failed: an open file would lock out the next try, and dbt."""
    try:
        yield
    except BaseException:
        with _OPENING:
            connection.close()
        raise
