{{ feature_sync.feature_spine(
    ref('events'), keys='entity', event_time="timestamp '2024-01-01 00:00:00'", columns=['event_id', 'amount'], at_most=1
) }}
