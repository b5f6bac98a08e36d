{{ config(materialized='incremental', incremental_strategy='merge' if target.type == 'spark' else none, unique_key=['entity', 'bucket_end']) -}}

{{ feature_sync.bucketed(
    ref('events'),
    by='entity',
    event_time='happened_at',
    bucket='1h',
    aggregates={'events': 'count(*)', 'amount': 'sum(amount)', 'entities': 'count(distinct entity)', 'build': "max('" ~ invocation_id ~ "')"},
    closed='left',
    loaded_at='loaded_at',
    lookback='10m',
) }}
