-- The windows of the model count rows for hours.
with neighbours as (
    select
        carrier,
        hour_end,
        lag(hour_end) over (partition by carrier order by hour_end) as previous_hour_end
    from {{ ref('carrier_delays', v=2) }}
)

select
    carrier,
    previous_hour_end,
    hour_end
from neighbours
where
    hour_end <> {{ feature_sync.bucket_end('hour_end', '1h', closed='right') }}
    or hour_end <> {{ plus_minutes('previous_hour_end', 60) }}
