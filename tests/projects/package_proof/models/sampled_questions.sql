{{ feature_sync.feature_spine(
    ref('events'),
    keys=['entity', 'label'],
    event_time='happened_at',
    columns=['event_id', 'amount'],
    ahead='30m',
    share=0.5,
    at_most=3,
    since='2024-01-02',
    until='2024-01-08T12:00:00+01:00',
    where='amount <> 3',
) }}
