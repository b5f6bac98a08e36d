{{ config(partition_by=partitioned_by_day('landed_at'), cluster_by=clustered_by(['tailnum'])) -}}

with landings as (
    select
        tailnum,
        arrived_at as landed_at,
        flight_id,
        arrival_delay
    from {{ ref('stg_flights') }}
    where
        tailnum is not null
        and arrived_at is not null
)

-- Should one aircraft be booked on two landings of one minute, there is one row and the longer delay stands.
select
    landings.tailnum,
    landings.landed_at,
    max(landings.arrival_delay) as last_arrival_delay,
    cast(count(distinct recent.flight_id) as integer) as flights_7d
from landings
inner join landings as recent
    on
        landings.tailnum = recent.tailnum
        and recent.landed_at > {{ plus_minutes('landings.landed_at', -7 * 24 * 60) }}
        and landings.landed_at >= recent.landed_at
group by landings.tailnum, landings.landed_at
