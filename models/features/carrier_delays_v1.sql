-- Each departure counts for the 24 full hours from its own on, so there is a row for every hour of which the 24 hours
-- before hold a flight, whether or not the hour itself does. A delay is known when the flight departs, not before.
with departures as (
    select
        carrier,
        departed_at,
        departure_delay,
        {{ end_of_hour('departed_at') }} as first_hour_end
    from {{ ref('stg_flights') }}
    where departed_at is not null
),

departures_by_hour as (
    select
        carrier,
        departed_at,
        departure_delay,
        hour_end
    from departures
    cross join {{ every_hour('first_hour_end', plus_minutes('first_hour_end', 23 * 60), 'hour_end') }}
),

with_windows as (
    select
        carrier,
        hour_end,
        case when departed_at > {{ plus_minutes('hour_end', -6 * 60) }} then departure_delay end as delay_within_6h,
        case when departure_delay > 15 then 1 else 0 end as was_late
    from departures_by_hour
)

select
    carrier,
    hour_end,
    avg({{ as_double('delay_within_6h') }}) as mean_delay_6h,
    avg({{ as_double('was_late') }}) as late_share_24h,
    cast(count(*) as integer) as flights_24h
from with_windows
group by carrier, hour_end
