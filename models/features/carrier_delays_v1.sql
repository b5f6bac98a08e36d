{{ config(partition_by=partitioned_by_day('hour_end'), cluster_by=clustered_by(['carrier'])) -}}

-- No hour is missing, so rows count hours.
with windows as (
    select
        carrier,
        hour_end,
        sum(flights) over six_hours as flights_6h,
        sum(delay) over six_hours as delay_6h,
        sum(flights) over a_day as flights_24h,
        sum(late_flights) over a_day as late_flights_24h
    from {{ ref('carrier_hours') }}
    window
        six_hours as (partition by carrier order by hour_end rows between 5 preceding and current row),
        a_day as (partition by carrier order by hour_end rows between 23 preceding and current row)
)

select
    carrier,
    hour_end,
    {{ as_double('delay_6h') }} / nullif(flights_6h, 0) as mean_delay_6h,
    {{ as_double('late_flights_24h') }} / nullif(flights_24h, 0) as late_share_24h,
    cast(flights_24h as integer) as flights_24h
from windows
