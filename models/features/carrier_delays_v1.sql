{{ config(partition_by=partitioned_by_day('hour_end'), cluster_by=clustered_by(['carrier'])) -}}

with departures as (
    select
        carrier,
        {{ end_of_hour('departed_at') }} as hour_end,
        departure_delay
    from {{ ref('stg_flights') }}
    where departed_at is not null
),

-- The newest departure tells which hours are over: an hour that may still see one is not shown.
last_hour_over as (
    select {{ start_of_hour('max(departed_at)') }} as hour_end
    from {{ ref('stg_flights') }}
),

spans as (
    select
        departures.carrier,
        last_hour_over.hour_end as last_hour,
        min(departures.hour_end) as first_hour
    from departures
    cross join last_hour_over
    group by departures.carrier, last_hour_over.hour_end
),

-- Every hour since the carrier's first departure, quiet ones too: an old row must not answer for an empty window.
carrier_hours as (
    select
        spans.carrier,
        hour_end
    from spans
    cross join {{ every_hour('spans.first_hour', 'spans.last_hour', 'hour_end') }}
),

hourly as (
    select
        carrier_hours.carrier,
        carrier_hours.hour_end,
        count(departures.departure_delay) as flights,
        sum(departures.departure_delay) as delay,
        sum(case when departures.departure_delay > 15 then 1 else 0 end) as late_flights
    from carrier_hours
    left join departures
        on
            carrier_hours.carrier = departures.carrier
            and carrier_hours.hour_end = departures.hour_end
    group by carrier_hours.carrier, carrier_hours.hour_end
),

-- No hour is missing, so rows count hours.
windows as (
    select
        carrier,
        hour_end,
        sum(flights) over six_hours as flights_6h,
        sum(delay) over six_hours as delay_6h,
        sum(flights) over a_day as flights_24h,
        sum(late_flights) over a_day as late_flights_24h
    from hourly
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
