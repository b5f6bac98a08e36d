"""A session of Spark Connect of this process's own, with everything pinned that its server could set otherwise."""

from __future__ import annotations

import socket
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

import grpc
from pyspark.errors import PySparkException

from feature_sync.definitions import Target
from feature_sync.errors import ProfileError, WarehouseError
from feature_sync.warehouses.spark.errors import translating
from feature_sync.warehouses.spark.settings import SparkSettings, host_and_port, names_a_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame

_PINNED = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.caseSensitive": "false",
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.legacy.sizeOfNull": "false",
    "spark.sql.ansi.doubleQuotedIdentifiers": "false",
    "spark.sql.execution.arrow.useLargeVarTypes": "false",
    "spark.sql.legacy.parquet.nanosAsLong": "false",
}
"""Settings on which an answer, or the meaning of the query's text, could depend."""
_RETRIES = 3
"""How often a request is sent again: the client's own policy would go on for ten minutes."""


class Session:
    """A session: of this process's own, unless the address names one, which then outlives it."""

    def __init__(self, url: str) -> None:
        """Open a session, and pin its settings.

        Args:
            url: The URL of Spark Connect.

        Raises:
            WarehouseError: The server cannot be reached, or refuses the session.
        """
        from pyspark.sql.connect.client.retries import DefaultPolicy
        from pyspark.sql.connect.session import SparkSession

        self.where = "{}:{}".format(*host_and_port(url))
        self._is_own = not names_a_session(url)
        self._views: list[str] = []
        warnings.filterwarnings("ignore", r"\[RETRIES_EXCEEDED\]")  # the error that follows says more
        with translating(self.where), _without_advice():
            self.spark = SparkSession(connection=url)
            policy = DefaultPolicy(max_retries=_RETRIES, initial_backoff=100, max_backoff=500)
            self.spark.client.set_retry_policies([policy])
            self._before = {} if self._is_own else {name: self.spark.conf.get(name, None) for name in _PINNED}
            for name, value in _PINNED.items():
                self.spark.conf.set(name, value)

    @classmethod
    def of(cls, target: Target) -> Self:
        """Connect to the Spark Connect of a target.

        Raises:
            ProfileError: A field is missing or wrong.
            WarehouseError: The server cannot be reached.
        """
        from pyspark.sql.connect.client import DefaultChannelBuilder

        settings, url = SparkSettings.of(target)
        try:
            DefaultChannelBuilder(url)
        except (PySparkException, ValueError):
            raise ProfileError(
                f"profile {target.profile}, target {target.name}: the options in the address of Spark Connect "
                "cannot be read; write them as sc://HOST:PORT/;use_ssl=true;token=TOKEN"
            ) from None  # whose message may hold a token
        _check_reachable(url, target, settings.connect_timeout)
        return cls(url)

    def query(self, text: str) -> DataFrame:
        """Return a query; Spark analyses it when its schema or its rows are read."""
        return self.spark.sql(text)

    def batches(self, frame: Any) -> Any:
        """Stream the rows of a query as Arrow tables, as the server sends them: a few megabytes each.

        The client has no public function that streams Arrow; `toLocalIterator` makes rows of this one.
        """
        plan = frame._plan  # noqa: SLF001
        for part in self.spark.client.to_table_as_iterator(plan.to_proto(self.spark.client), plan.observations):
            if hasattr(part, "to_batches"):
                yield from part.to_batches()

    def make_view(self, name: str, frame: DataFrame) -> None:
        """Give a frame a name until the session is closed."""
        frame.createOrReplaceTempView(name)
        self._views.append(name)

    def cancel(self) -> None:
        """Interrupt what the session runs."""
        with suppress(WarehouseError), translating(self.where):
            self.spark.interruptAll()

    def close(self) -> None:
        """Release the session with its temporary views; leave one that others use as it was."""
        # Not by `stop`, which logs a traceback where the server is gone.
        with suppress(PySparkException, grpc.RpcError), _without_advice():
            if self._is_own:
                self.spark.client.release_session()
            else:
                for name in self._views:
                    self.spark.catalog.dropTempView(name)
                for name, value in self._before.items():
                    if value is None:
                        self.spark.conf.unset(name)
                    else:
                        self.spark.conf.set(name, value)
        self.spark.client.close()


@contextmanager
def _without_advice() -> Iterator[None]:
    """Leave unsaid what the server advises about a setting that is pinned or given back."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _check_reachable(url: str, target: Target, seconds: int) -> None:
    """Raise at once where nothing listens."""
    host, port = host_and_port(url)
    try:
        socket.create_connection((host, port), timeout=seconds).close()
    except OSError as refused:
        raise WarehouseError(
            f"Spark Connect at {host}:{port} cannot be reached ({refused.strerror or refused}); is it up "
            f"(sbin/start-connect-server.sh), and is its address in the target {target.name} of profiles.yml right?"
        ) from refused
