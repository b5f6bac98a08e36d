-- Counts every window straight from the flights, without the hours' sums that the models add up.
{% set delays = {
    1: 'flights.departure_delay',
    2: 'case when flights.departure_delay > 0 then flights.departure_delay else 0 end',
} -%}

with
{%- for version, delay in delays.items() %}
counted_for_v{{ version }} as (
    select
        delays.carrier,
        delays.hour_end,
        sum(
            case when flights.departed_at > {{ plus_minutes('delays.hour_end', -6 * 60) }} then {{ delay }} end
        ) as delay_6h,
        count(
            case when flights.departed_at > {{ plus_minutes('delays.hour_end', -6 * 60) }} then flights.departure_delay end
        ) as flights_6h,
        sum(case when flights.departure_delay > 15 then 1 else 0 end) as late_flights_24h,
        count(flights.departed_at) as flights_24h
    from {{ ref('carrier_delays', v=version) }} as delays
    left join {{ ref('stg_flights') }} as flights
        on
            delays.carrier = flights.carrier
            and flights.departed_at > {{ plus_minutes('delays.hour_end', -24 * 60) }}
            and delays.hour_end >= flights.departed_at
    group by delays.carrier, delays.hour_end
){{ ',' if not loop.last }}
{%- endfor %}

{%- for version in delays %}
select
    {{ version }} as version,
    delays.carrier,
    delays.hour_end,
    delays.mean_delay_6h,
    delays.late_share_24h,
    delays.flights_24h,
    counted.delay_6h,
    counted.flights_6h,
    counted.late_flights_24h,
    counted.flights_24h as counted_flights_24h
from {{ ref('carrier_delays', v=version) }} as delays
inner join counted_for_v{{ version }} as counted
    on
        delays.carrier = counted.carrier
        and delays.hour_end = counted.hour_end
where
    delays.flights_24h <> counted.flights_24h
    or (delays.mean_delay_6h is null) <> (counted.flights_6h = 0)
    or abs(delays.mean_delay_6h * counted.flights_6h - counted.delay_6h) > 0.000001
    or (delays.late_share_24h is null) <> (counted.flights_24h = 0)
    or abs(delays.late_share_24h * counted.flights_24h - counted.late_flights_24h) > 0.000001
{{ 'union all' if not loop.last }}
{%- endfor %}
