{{ feature_sync.as_feature_view(
    ref('history'),
    keys=['sensor'],
    features=['owner'],
    valid_from='began_at',
    valid_to='ended_at',
    valid_to_current="timestamp '9999-12-31 00:00:00'",
    is_deleted='gone',
) }}
