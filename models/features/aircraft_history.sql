-- A flight whose landing is not known (cancelled or diverted) leaves no row: there is no moment at which to know it.
with landings as (
    select
        tailnum,
        arrived_at as landed_at,
        arrival_delay
    from {{ ref('stg_flights') }}
    where arrived_at is not null and tailnum is not null
)

select
    landings.tailnum,
    landings.landed_at,
    cast(max(landings.arrival_delay) as integer) as last_arrival_delay,
    cast(count(*) as integer) as flights_7d
from landings
inner join landings as of_7_days
    on
        landings.tailnum = of_7_days.tailnum
        and landings.landed_at >= of_7_days.landed_at
        and of_7_days.landed_at > {{ plus_minutes('landings.landed_at', -7 * 24 * 60) }}
group by landings.tailnum, landings.landed_at
