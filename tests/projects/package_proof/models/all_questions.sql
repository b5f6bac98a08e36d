{{ feature_sync.feature_spine(ref('events'), keys='entity', event_time='happened_at', columns=['event_id'], asked_at='moment') }}
