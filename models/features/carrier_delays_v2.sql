{{ config(partition_by=partitioned_by_day('hour_end'), cluster_by=clustered_by(['carrier'])) -}}

with windows as (
    select
        carrier,
        hour_end,
        {{ feature_sync.rolling('sum', 'flights', ['1h', '6h', '24h'], 'carrier', 'hour_end', closed='right', name='flights') }},
        {{ feature_sync.rolling('sum', 'lateness', ['1h', '6h', '24h'], 'carrier', 'hour_end', closed='right', name='lateness') }},
        {{ feature_sync.rolling('sum', 'late_flights', '24h', 'carrier', 'hour_end', closed='right', name='late_flights') }}
    from {{ ref('carrier_hours') }}
)

select
    carrier,
    hour_end,
    {{ as_double('coalesce(lateness_1h, 0)') }} / nullif(flights_1h, 0) as mean_delay_1h,
    {{ as_double('coalesce(lateness_6h, 0)') }} / nullif(flights_6h, 0) as mean_delay_6h,
    {{ as_double('coalesce(lateness_24h, 0)') }} / nullif(flights_24h, 0) as mean_delay_24h,
    {{ as_double('late_flights_24h') }} / nullif(flights_24h, 0) as late_share_24h,
    cast(flights_24h as integer) as flights_24h
from windows
