{{ config(
    enabled=target.type in ('duckdb', 'postgres'),
    pre_hook="set timezone = 'America/New_York'",
    post_hook="set timezone = 'UTC'",
) -}}

with zoned as (
    select
        events.*,
        happened_at at time zone 'UTC' as zoned_at,
        cast(happened_at as date) as happened_on
    from {{ ref('events') }} as events
)

select
    event_id,
    {{ feature_sync.bucket_end('zoned_at', '24h', 'right') }} as day_end,
    {{ feature_sync.bucket_end('happened_on', '1d', 'left') }} as end_of_date,
    {{ feature_sync.rolling('sum', 'amount', ['1h', '24h', '7d'], by='entity', order_by='zoned_at', closed='left', name='left_sum') }},
    {{ feature_sync.time_since_last(by='entity', order_by='zoned_at') }} as since_last
from zoned
