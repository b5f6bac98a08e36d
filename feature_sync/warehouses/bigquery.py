"""BigQuery through Google's own client: results come as Arrow, by the Storage Read API or as pages of its REST API."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Self

from google.api_core.exceptions import GoogleAPICallError, NotFound, RetryError
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_JOB_RETRY, DEFAULT_RETRY
from requests.exceptions import RequestException

from feature_sync.definitions import Target
from feature_sync.errors import ProfileError, RequestError, WarehouseConflict, WarehouseError
from feature_sync.warehouses.base import Columns, TargetSettings, Warehouse, never, read_settings

if TYPE_CHECKING:
    import pyarrow
    from google.cloud.bigquery_storage import BigQueryReadClient

_SCOPES = ("https://www.googleapis.com/auth/bigquery", "https://www.googleapis.com/auth/cloud-platform")
_HOURS_OF_TEMPORARY_TABLES = 24
_EXPIRING = (
    f"options (expiration_timestamp = timestamp_add(current_timestamp(), interval {_HOURS_OF_TEMPORARY_TABLES} hour))"
)
_LONGEST_LABEL = 63
_TYPES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}
"""What the REST API calls by its older names."""
_LOADED = {
    "bool": "BOOL", "int8": "INT64", "int16": "INT64", "int32": "INT64", "int64": "INT64", "uint8": "INT64",
    "uint16": "INT64", "uint32": "INT64", "uint64": "NUMERIC", "float": "FLOAT64", "double": "FLOAT64",
    "string": "STRING", "date32[day]": "DATE", "time64[us]": "TIME", "binary": "BYTES",
}  # fmt: skip
_NUMERIC_DIGITS, _NUMERIC_SCALE = 38, 9
_REMEDIES = {
    "accessDenied": "grant the account BigQuery Job User on the project that pays, and BigQuery Data Editor on the "
    "dataset (feature-sync keeps its own tables in <dataset>_feature_sync)",
    "backendError": "BigQuery failed for longer than its client retries; run this again",
    "billingNotEnabled": "enable billing for the project",
    "bytesBilledLimitExceeded": "raise maximum_bytes_billed in profiles.yml, or ask for less",
    "quotaExceeded": "wait until the quota is free again, or have it raised",
    "rateLimitExceeded": "run this again with fewer --threads",
    "resourcesExceeded": "ask for fewer views or a shorter time at once",
    "stopped": "somebody cancelled the job, or it took longer than profiles.yml allows; nothing of it counts",
    "timeout": "nothing of it counts; raise job_execution_timeout_seconds in profiles.yml",
}
_ADDRESS = re.compile(r"^(?:GET|POST|PUT|PATCH|DELETE) \S+ ")
_FAILURES = (GoogleAPICallError, RetryError, GoogleAuthError, RequestException)


class BigQuerySettings(TargetSettings):
    """The fields of dbt-bigquery's profile; some have two names there, too."""

    method: str
    project: str | None = None
    database: str | None = None
    dataset: str | None = None
    schema: str | None = None
    execution_project: str | None = None
    quota_project: str | None = None
    location: str | None = None
    api_endpoint: str | None = None
    priority: str | None = None
    maximum_bytes_billed: int | None = None
    job_execution_timeout_seconds: int | None = None
    timeout_seconds: int | None = None
    job_retry_deadline_seconds: int | None = None
    impersonate_service_account: str | None = None
    keyfile: str | None = None
    keyfile_json: dict[str, Any] | None = None
    token: str | None = None
    refresh_token: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    token_uri: str | None = None
    scopes: tuple[str, ...] = _SCOPES

    @property
    def timeout(self) -> int | None:
        """How many seconds a job may take."""
        return self.job_execution_timeout_seconds or self.timeout_seconds

    def credentials(self) -> tuple[Credentials, str | None]:
        """Find who asks, and the project that their environment implies.

        Raises:
            ProfileError: There is no such method.
        """
        found, project = self._own_credentials()
        if self.impersonate_service_account:
            from google.auth import impersonated_credentials

            found = impersonated_credentials.Credentials(  # type: ignore[no-untyped-call]
                found, self.impersonate_service_account, self.scopes
            )
        return found, project

    def _own_credentials(self) -> tuple[Credentials, str | None]:
        import google.oauth2.credentials
        import google.oauth2.service_account

        service_account = google.oauth2.service_account.Credentials
        if self.method == "oauth":
            return google.auth.default(scopes=self.scopes)
        if self.method == "service-account" and self.keyfile:
            return service_account.from_service_account_file(self.keyfile, scopes=self.scopes), None  # type: ignore[no-untyped-call]
        if self.method == "service-account-json" and self.keyfile_json:
            key = {**self.keyfile_json, "private_key": self.keyfile_json.get("private_key", "").replace("\\n", "\n")}
            return service_account.from_service_account_info(key, scopes=self.scopes), None  # type: ignore[no-untyped-call]
        if self.method == "oauth-secrets":
            names = ("token", "refresh_token", "client_id", "client_secret", "token_uri", "scopes")
            secrets_given = {name: getattr(self, name) for name in names}
            return google.oauth2.credentials.Credentials(**secrets_given), None  # type: ignore[no-untyped-call]
        raise ProfileError(
            f"method {self.method!r} is not supported, or its key is missing; there is oauth, oauth-secrets, "
            "service-account (keyfile) and service-account-json (keyfile_json)"
        )


class BigQueryWarehouse(Warehouse):
    """A client of one project. Temporary tables stand in the target's dataset, and expire should nobody drop them."""

    dialect = "bigquery"

    def __init__(
        self, settings: BigQuerySettings, credentials: Credentials, dataset: bigquery.DatasetReference
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._dataset = dataset
        self._client = bigquery.Client(
            project=settings.execution_project or dataset.project,
            credentials=credentials,
            location=settings.location,
            client_options={"api_endpoint": settings.api_endpoint, "quota_project_id": settings.quota_project},
        )
        seconds = settings.job_retry_deadline_seconds
        self._retry = DEFAULT_RETRY.with_timeout(seconds) if seconds else DEFAULT_RETRY
        self._job_retry = None if seconds else DEFAULT_JOB_RETRY  # Google's client bounds it by ten minutes at least
        self._storage: BigQueryReadClient | None = None
        self._labels = {"feature_sync": _label(version("feature-sync"))}
        self._temporary: list[str] = []
        self._made: list[str] | None = None
        self._job: bigquery.QueryJob | None = None

    @classmethod
    def connect(
        cls,
        target: Target,
        *,
        writable: bool = False,  # noqa: ARG003 - one client does both
        wait: bool = False,  # noqa: ARG003 - nobody has it alone
        stopped: Callable[[], bool] = never,  # noqa: ARG003
    ) -> Self:
        """Find credentials with dbt's own fields; nothing is asked of the service yet.

        Raises:
            ProfileError: A field is missing or wrong.
            WarehouseError: There are no credentials.
        """
        settings = read_settings(target, BigQuerySettings)
        with _translating():
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

    @property
    def place(self) -> str:
        """The project, whose name nobody else has; and the service, where it is not Google's."""
        return " ".join(["bigquery", self._dataset.project, *filter(None, [self._settings.api_endpoint])])

    @property
    def database(self) -> str:
        """The project of the tables, which need not be the one that pays."""
        return str(self._dataset.project)

    def label(self, **labels: str) -> None:
        """Add to the labels of all jobs."""
        self._labels |= {name: _label(value) for name, value in labels.items()}

    def bytes_to_scan(self, query: str) -> int | None:
        """Let BigQuery plan the query."""
        job = self._planned(query)
        return None if job is None else int(job.total_bytes_processed)

    def has_schema(self, schema: str) -> bool:
        """Ask for the dataset, which costs nothing."""
        with _translating(), suppress(NotFound):
            self._client.get_dataset(f"{self._dataset.project}.{schema}", retry=self._retry)
            return True
        return False

    def tables(self, schema: str) -> set[str]:
        """List them, which costs nothing, whereas a query of the catalog does."""
        with _translating(), suppress(NotFound):
            return {
                each.table_id
                for each in self._client.list_tables(f"{self._dataset.project}.{schema}", retry=self._retry)
            }
        return set()

    def describe(self, query: str) -> Mapping[str, str]:
        """Let BigQuery plan the query; who cannot plan selects none of its rows."""
        job = self._planned(query)
        fields = job.schema if job is not None else None
        if fields is None:
            fields = self._run(f"select * from (\n{query}) where false").schema  # noqa: S608 - the query is `render`'s
        return {field.name: _sql_type(field) for field in fields}

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """Read the pages of a job."""
        with _translating():
            return [tuple(row.values()) for row in self._run(query)]

    def columns(self, query: str, *, batch_size: int) -> Iterator[Columns]:
        """Stream through Arrow, whose columns become Python values faster than rows do."""
        with self.arrow(query, batch_size=batch_size) as reader:
            for batch in reader:
                yield [column.to_pylist() for column in batch.columns]

    @contextmanager
    def arrow(self, query: str, *, batch_size: int) -> Iterator[pyarrow.RecordBatchReader]:
        """Stream record batches: from several streams of the Storage Read API, or page by page."""
        import pyarrow

        result = self._run(query, page_size=batch_size)
        schema = pyarrow.schema([(field.name, _arrow_type(field)) for field in result.schema])

        def batches() -> Iterator[pyarrow.RecordBatch]:
            with _translating():
                for batch in result.to_arrow_iterable(bqstorage_client=self._storage_client()):
                    arrays = [_exactly(column, kind) for column, kind in zip(batch.columns, schema.types, strict=True)]
                    whole = pyarrow.RecordBatch.from_arrays(arrays, schema=schema)
                    yield from (whole.slice(at, batch_size) for at in range(0, whole.num_rows, batch_size))

        yield pyarrow.RecordBatchReader.from_batches(schema, batches())

    def keep(self, name: str, query: str) -> str:
        """Create a table that expires: a query cannot name what another one has left in a session's own."""
        table = self._temporary_table(name)
        self._run(f"create table {table} {_EXPIRING} as\n{query}")
        return table

    def load(self, name: str, rows: pyarrow.RecordBatchReader, types: Mapping[str, str]) -> str:
        """Spool the rows as Parquet, which holds every type exactly, and load them in one job."""
        import pyarrow.parquet

        declared = [(field.name, types.get(field.name) or _column_type(field)) for field in rows.schema]
        table = self._temporary_table(name)
        columns = ", ".join(f"{_quoted(column)} {kind}" for column, kind in declared)
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            schema=[bigquery.SchemaField(column, kind) for column, kind in declared],
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            labels=self._labels,
        )
        with TemporaryFile() as spool:
            with pyarrow.parquet.ParquetWriter(spool, rows.schema) as writer:
                for batch in rows:
                    writer.write_batch(batch)
            self._run(f"create table {table} ({columns}) {_EXPIRING}")
            with _translating():
                into = table.replace("`", "")
                self._client.load_table_from_file(spool, into, rewind=True, job_config=config).result(retry=self._retry)
        return table

    @contextmanager
    def snapshot(self, reads: Sequence[str] = ()) -> Iterator[None]:  # noqa: ARG002 - a query locks nothing
        """Let every query see its own snapshot: reads across several cannot be tied together without a session."""
        yield

    @contextmanager
    def transaction(self, reads: Sequence[str] = ()) -> Iterator[None]:  # noqa: ARG002 - a query locks nothing
        """Drop the tables that were made inside, should anything go wrong; each statement takes effect by itself."""
        self._made = []
        try:
            yield
        except BaseException:
            with suppress(WarehouseError):
                for table in self._made:
                    self._run(f"drop table if exists {table}")
            raise
        finally:
            self._made = None

    def execute(self, statement: str) -> int:
        """Run a statement; BigQuery tells how many rows one that changes rows has touched."""
        result = self._run(statement)
        return result.num_dml_affected_rows or 0

    def execute_if_free(self, statement: str) -> None:
        """Run a statement; nobody ever holds a table."""
        with suppress(WarehouseConflict):
            self.execute(statement)

    @contextmanager
    def detached_results(self, queries: Sequence[str], *, batch_size: int) -> Iterator[Sequence[Iterator[Columns]]]:
        """Stream from the service, which others can use at any time."""
        yield [self.columns(query, batch_size=batch_size) for query in queries]

    def cancel(self) -> None:
        """Ask the service to end the job."""
        if (job := self._job) is not None:
            with suppress(*_FAILURES):
                job.cancel(retry=None)

    def close(self) -> None:
        """Drop what was temporary, and close the connections."""
        with suppress(WarehouseError):
            for table in self._temporary:
                self._run(f"drop table if exists {table}")
        self._temporary.clear()
        if self._storage is not None:
            self._storage.transport.close()  # type: ignore[no-untyped-call]
        self._client.close()  # type: ignore[no-untyped-call]

    def _planned(self, query: str) -> bigquery.QueryJob | None:
        """Plan a query, which costs nothing; None where a service that is not Google's is unable to."""
        with _translating():
            try:
                return self._client.query(query, self._config(dry_run=True), retry=self._retry, job_retry=None)
            except GoogleAPICallError:
                if self._settings.api_endpoint:
                    return None
                raise

    def _run(self, statement: str, *, page_size: int | None = None) -> bigquery.table.RowIterator:
        """Run a job to its end; one that is given up is cancelled, for it would go on and cost."""
        with _translating():
            job = self._client.query(statement, self._config(), retry=self._retry, job_retry=self._job_retry)
            self._job = job
            try:
                result = job.result(page_size=page_size, retry=self._retry, timeout=self._settings.timeout)
            except (KeyboardInterrupt, TimeoutError):
                with suppress(*_FAILURES):
                    job.cancel(retry=None)
                raise
            finally:
                self._job = None
        if self._made is not None and job.statement_type == "CREATE_TABLE_AS_SELECT":
            self._made.append(_quoted_path(job.ddl_target_table))
        return result

    def _config(self, **options: Any) -> bigquery.QueryJobConfig:
        config = bigquery.QueryJobConfig(labels=self._labels, **options)
        config.priority = (self._settings.priority or "interactive").upper()
        if self._settings.maximum_bytes_billed:
            config.maximum_bytes_billed = self._settings.maximum_bytes_billed
        if self._settings.timeout:
            config.job_timeout_ms = self._settings.timeout * 1000
        return config

    def _storage_client(self) -> BigQueryReadClient | None:
        """Connect to the Storage Read API, which is Google's alone."""
        if self._storage is None and not self._settings.api_endpoint:
            from google.cloud.bigquery_storage import BigQueryReadClient

            self._storage = BigQueryReadClient(credentials=self._credentials)  # type: ignore[no-untyped-call]
        return self._storage

    def _temporary_table(self, name: str) -> str:
        table = _quoted_path(self._dataset.table(f"{name}_{secrets.token_hex(8)}"))
        self._temporary.append(table)
        return table


def _sql_type(field: bigquery.SchemaField) -> str:
    """Write a column's type as BigQuery's SQL does."""
    name = _TYPES.get(field.field_type, field.field_type)
    if name == "STRUCT":
        name = f"STRUCT<{', '.join(f'{_quoted(each.name)} {_sql_type(each)}' for each in field.fields)}>"
    elif field.precision is not None:
        name = f"{name}({field.precision}, {field.scale or 0})"
    return f"ARRAY<{name}>" if field.mode == "REPEATED" else name


def _arrow_type(field: bigquery.SchemaField) -> pyarrow.DataType:
    """Map a column of a result; what Arrow has no type for is text."""
    import pyarrow

    simple = {
        "INT64": pyarrow.int64(), "FLOAT64": pyarrow.float64(), "BOOL": pyarrow.bool_(), "BYTES": pyarrow.binary(),
        "DATE": pyarrow.date32(), "TIME": pyarrow.time64("us"), "DATETIME": pyarrow.timestamp("us"),
        "TIMESTAMP": pyarrow.timestamp("us", tz="UTC"), "NUMERIC": pyarrow.decimal128(38, 9),
        "BIGNUMERIC": pyarrow.decimal256(76, 38),
    }  # fmt: skip
    name = _TYPES.get(field.field_type, field.field_type)
    if name == "STRUCT":
        kind = pyarrow.struct([(each.name, _arrow_type(each)) for each in field.fields])
    else:
        kind = simple.get(name, pyarrow.string())
    return pyarrow.list_(kind) if field.mode == "REPEATED" else kind


def _exactly(column: pyarrow.Array, kind: pyarrow.DataType) -> pyarrow.Array:
    """Cast a column to its type; JSON comes as an extension of text."""
    import pyarrow

    if isinstance(column.type, pyarrow.BaseExtensionType):
        column = column.storage
    return column if column.type == kind else column.cast(kind)


def _column_type(field: pyarrow.Field) -> str:
    """Map a column of rows that come from outside.

    Raises:
        RequestError: BigQuery has no such type.
    """
    import pyarrow

    kind = field.type
    if pyarrow.types.is_timestamp(kind):
        return "TIMESTAMP" if kind.tz else "DATETIME"
    if pyarrow.types.is_decimal(kind):
        fits = kind.scale <= _NUMERIC_SCALE and kind.precision - kind.scale <= _NUMERIC_DIGITS - _NUMERIC_SCALE
        return "NUMERIC" if fits else "BIGNUMERIC"
    if str(kind) not in _LOADED:
        raise RequestError(
            f"the spine's column {field.name!r} is {kind}, which cannot be sent to BigQuery; leave it out"
        )
    return _LOADED[str(kind)]


def _quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _quoted_path(table: bigquery.TableReference) -> str:
    return ".".join(map(_quoted, (table.project, table.dataset_id, table.table_id)))


def _label(value: str) -> str:
    """Spell a label's value with the characters that BigQuery allows."""
    return re.sub(r"[^a-z0-9_-]", "_", value.lower())[:_LONGEST_LABEL]


@contextmanager
def _translating() -> Iterator[None]:
    import pyarrow

    try:
        yield
    except TimeoutError as late:
        raise WarehouseError(f"BigQuery: the job took too long; {_REMEDIES['timeout']}") from late
    except _FAILURES as refused:
        raise _translated(refused) from refused
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as unfit:
        raise WarehouseError(f"a value does not fit its column: {unfit}; cast the column in the model") from unfit


def _translated(refused: Exception) -> WarehouseError:
    """Say in one line what BigQuery said, and what to do."""
    cause = refused.cause if isinstance(refused, RetryError) and refused.cause is not None else refused
    if not isinstance(cause, GoogleAPICallError):
        return WarehouseError(f"BigQuery cannot be reached: {' '.join(str(cause).split())}")
    text = " ".join(_ADDRESS.sub("", cause.message).partition("; reason:")[0].split())
    reasons = [each.get("reason") for each in cause.errors if isinstance(each, dict)]
    if "due to concurrent update" in text or "duplicate" in reasons:
        return WarehouseConflict(f"BigQuery: {text}")
    if isinstance(cause, NotFound):
        remedy = "run dbt build; if it is there, set location in profiles.yml to that of its dataset"
    else:
        remedy = next((_REMEDIES[reason] for reason in reasons if reason in _REMEDIES), "")
    return WarehouseError("; ".join(filter(None, [f"BigQuery: {text}", remedy])))
