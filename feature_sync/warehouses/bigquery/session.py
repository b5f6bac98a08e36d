"""A client of one BigQuery project: plans and runs jobs with the profile's limits and labels."""

from __future__ import annotations

import re
from contextlib import suppress
from importlib.metadata import version
from typing import IO, TYPE_CHECKING, Any, Self

from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import Credentials
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_JOB_RETRY, DEFAULT_RETRY

from feature_sync.definitions import Target
from feature_sync.errors import ProfileError
from feature_sync.warehouses.base import read_settings
from feature_sync.warehouses.bigquery.errors import FAILURES, translating
from feature_sync.warehouses.bigquery.settings import BigQuerySettings
from feature_sync.warehouses.bigquery.values import quoted_path

if TYPE_CHECKING:
    from google.cloud.bigquery_storage import BigQueryReadClient

_LONGEST_LABEL = 63


class Session:
    """A client and its settings. The project of `dataset` need not be the one that pays."""

    def __init__(
        self, settings: BigQuerySettings, credentials: Credentials, dataset: bigquery.DatasetReference
    ) -> None:
        """Create a client; no request is sent.

        Args:
            settings: The fields of the profile.
            credentials: The credentials of the user.
            dataset: The dataset of the target, with its project.
        """
        self.dataset = dataset
        self.endpoint = settings.api_endpoint
        self.made: list[str] | None = None
        """Collects the tables that queries create while it is a list."""
        self.client = bigquery.Client(
            project=settings.execution_project or dataset.project,
            credentials=credentials,
            location=settings.location,
            client_options={"api_endpoint": settings.api_endpoint, "quota_project_id": settings.quota_project},
        )
        seconds = settings.job_retry_deadline_seconds
        self.retry = DEFAULT_RETRY.with_timeout(seconds) if seconds else DEFAULT_RETRY
        # None with a deadline: Google's client cannot bound the retries of jobs to less than ten minutes.
        self._job_retry = None if seconds else DEFAULT_JOB_RETRY
        self._settings = settings
        self._credentials = credentials
        self._storage: BigQueryReadClient | None = None
        self._labels = {"feature_sync": _label(version("feature-sync"))}
        self._job: bigquery.QueryJob | None = None

    @classmethod
    def of(cls, target: Target) -> Self:
        """Find the credentials of a target; no request is sent to BigQuery.

        Raises:
            ProfileError: A field is missing or wrong.
            WarehouseError: No credentials were found.
        """
        settings = read_settings(target, BigQuerySettings)
        with translating():
            try:
                credentials, implied = settings.credentials()
            except (OSError, ValueError) as unreadable:
                raise ProfileError(
                    f"target {target.name}: no credentials for {settings.method}: {unreadable}"
                ) from None
            project = settings.project or settings.database or implied
            if project is None:
                raise ProfileError(f"target {target.name}: project is missing")
            return cls(settings, credentials, bigquery.DatasetReference(project, target.schema))

    def label(self, **labels: str | None) -> None:
        """Add to the labels of all jobs, or take those away that are None."""
        self._labels |= {name: _label(value) for name, value in labels.items() if value is not None}
        self._labels = {name: value for name, value in self._labels.items() if labels.get(name, value) is not None}

    def plan(self, query: str) -> bigquery.QueryJob | None:
        """Plan a query (a dry run), which costs nothing; None if another service than Google's cannot."""
        with translating():
            try:
                return self.client.query(query, self._config(dry_run=True), retry=self.retry, job_retry=None)
            except GoogleAPICallError:
                if self.endpoint:
                    return None
                raise

    def run(self, statement: str, *, page_size: int | None = None) -> bigquery.table.RowIterator:
        """Run a job to its end. On an interrupt or a timeout the job is cancelled: it would go on, and be billed.

        Args:
            statement: A query or a statement.
            page_size: How many rows to read in one request; None leaves it to the service.
        """
        with translating():
            job = self.client.query(statement, self._config(), retry=self.retry, job_retry=self._job_retry)
            self._job = job
            try:
                result = job.result(page_size=page_size, retry=self.retry, timeout=self._settings.timeout)
            except (KeyboardInterrupt, TimeoutError):
                with suppress(*FAILURES):
                    job.cancel(retry=None)
                raise
            finally:
                self._job = None
        if self.made is not None and job.statement_type == "CREATE_TABLE_AS_SELECT":
            self.made.append(quoted_path(job.ddl_target_table))
        return result

    def load(self, spool: IO[bytes], into: str, columns: list[tuple[str, str]]) -> None:
        """Append the rows of a Parquet file to a table.

        Args:
            spool: The file.
            into: The name of the table, not quoted: `project.dataset.table`.
            columns: Names and types of its columns, as BigQuery's SQL writes them.
        """
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            schema=[bigquery.SchemaField(column, kind) for column, kind in columns],
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            labels=self._labels,
        )
        with translating():
            self.client.load_table_from_file(spool, into, rewind=True, job_config=config).result(retry=self.retry)

    def storage_client(self) -> BigQueryReadClient | None:
        """Connect to the Storage Read API, once; None where another service than Google's answers, which has none."""
        if self._storage is None and not self.endpoint:
            from google.cloud.bigquery_storage import BigQueryReadClient

            self._storage = BigQueryReadClient(credentials=self._credentials)  # type: ignore[no-untyped-call]
        return self._storage

    def cancel(self) -> None:
        """Ask the service to cancel the job that runs, if any."""
        if (job := self._job) is not None:
            with suppress(*FAILURES):
                job.cancel(retry=None)

    def close(self) -> None:
        """Close the connections."""
        if self._storage is not None:
            self._storage.transport.close()  # type: ignore[no-untyped-call]
        self.client.close()  # type: ignore[no-untyped-call]

    def _config(self, **options: Any) -> bigquery.QueryJobConfig:
        config = bigquery.QueryJobConfig(labels=self._labels, **options)
        config.priority = (self._settings.priority or "interactive").upper()
        if self._settings.maximum_bytes_billed:
            config.maximum_bytes_billed = self._settings.maximum_bytes_billed
        if self._settings.timeout:
            config.job_timeout_ms = self._settings.timeout * 1000
        return config


def _label(value: str) -> str:
    """Return a label's value in the characters and the length that BigQuery allows."""
    return re.sub(r"[^a-z0-9_-]", "_", value.lower())[:_LONGEST_LABEL]
