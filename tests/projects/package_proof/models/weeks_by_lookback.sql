{{ config(materialized='incremental', incremental_strategy='merge' if target.type == 'spark' else none, unique_key=['entity', 'label', 'week_end']) -}}

{{ feature_sync.bucketed(
    ref('events'),
    by=['entity', 'label'],
    event_time='happened_at',
    bucket='1w',
    aggregates={'events': 'count(*)'},
    closed='left',
    lookback='1w',
    end_name='week_end',
) }}
