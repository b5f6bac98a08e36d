"""The parts of bigquery_live.sh in Python: compares training sets, removes the datasets, tells the bytes billed."""

from __future__ import annotations

import sys

import pyarrow
import pyarrow.parquet
from google.cloud import bigquery

from feature_sync import FeatureStore
from feature_sync.warehouses.base import read_settings
from feature_sync.warehouses.bigquery.settings import BigQuerySettings


def compare(on_bigquery: str, on_duckdb: str) -> None:
    """Fail unless both files hold the same rows; BigQuery's timestamps are instants, its integers have 64 bits."""
    expected = pyarrow.parquet.read_table(on_duckdb).sort_by("flight_id")
    found = pyarrow.parquet.read_table(on_bigquery).cast(expected.schema).sort_by("flight_id")
    if not found.equals(expected):
        sys.exit("the training sets differ")
    print(f"{found.num_rows:,} rows of the training set are the same as on DuckDB")


def finish(name: str, dataset: str) -> None:
    """Remove what was created, and print what it cost."""
    target = FeatureStore.open(".", target=name).target
    settings = read_settings(target, BigQuerySettings)
    client = bigquery.Client(
        project=settings.execution_project or settings.project,
        credentials=settings.credentials()[0],
        client_options={"api_endpoint": settings.api_endpoint},
    )
    for each in (dataset, f"{dataset}_feature_sync"):
        client.delete_dataset(f"{settings.project}.{each}", delete_contents=True, not_found_ok=True)
        print(f"removed {each}")
    if settings.api_endpoint:
        return  # an emulator bills nothing
    jobs = [job for job in client.list_jobs(max_results=1000) if dataset in (getattr(job, "query", None) or "")]
    print(f"{len(jobs)} jobs, {sum(job.total_bytes_billed or 0 for job in jobs):,} bytes billed")


if __name__ == "__main__":
    {"compare": compare, "finish": finish}[sys.argv[1]](*sys.argv[2:])
