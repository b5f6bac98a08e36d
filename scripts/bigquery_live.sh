#!/usr/bin/env bash
# Repeats on BigQuery itself what the tests prove on an emulator; needs an account, application-default credentials, and
# `make .venv/.test` before. Creates two datasets of its own, and removes them whatever happens.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${1:-bigquery}
: "${GOOGLE_CLOUD_PROJECT:?names the project that pays}"
suffix=$(date -u +%Y%m%d_%H%M%S)_$$
export FEATURE_SYNC_BIGQUERY_DATASET=feature_sync_proof_$suffix
export DBT_PROFILES_DIR=$PWD/profiles DBT_SEND_ANONYMOUS_USAGE_STATS=false PATH=$PWD/.venv/bin:$PATH
work=$(mktemp -d)
export DBT_TARGET_PATH=$work/target FEATURE_SYNC_DUCKDB_PATH=$work/flights.duckdb

echo "creates, and removes in the end: $GOOGLE_CLOUD_PROJECT.$FEATURE_SYNC_BIGQUERY_DATASET and ..._feature_sync"
redis=$(python -c "
from pathlib import Path
from feature_sync.online.redis.server import EmbeddedServer
print(EmbeddedServer(Path('$work')).start())")

finish() {
    python scripts/bigquery_live.py finish "$target" "$FEATURE_SYNC_BIGQUERY_DATASET" || true
    python -c "
from pathlib import Path
from feature_sync.online.redis.server import EmbeddedServer
EmbeddedServer(Path('$work')).stop()"
    rm -rf "$work"
}
trap finish EXIT

ask() { feature-sync "$@" --target "$target" --redis-url "$redis"; }

dbt --quiet build --target "$target"
ask push --dry-run
ask push
ask push
ask verify
ask get departure_delay_model carrier=B6 tailnum=N193JB origin=JFK
feature-sync extract departure_delay_model --spine departures --target "$target" -o "$work/on_bigquery.parquet"
dbt --quiet build --target duckdb
feature-sync extract departure_delay_model --spine departures --target duckdb -o "$work/on_duckdb.parquet"
python scripts/bigquery_live.py compare "$work/on_bigquery.parquet" "$work/on_duckdb.parquet"
