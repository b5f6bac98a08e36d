{{ feature_sync.bucketed(
    ref('hours_closed_right'),
    by='entity',
    event_time='bucket_end',
    bucket='1d',
    aggregates={'events': 'sum(events)'},
    closed='right',
    loaded_at='last_loaded_at',
) }}
