-- Clocks alone do not tell the day: a flight may leave 21 hours late and land behind midnight, in another time zone.
-- So both ends are reckoned from the schedule, and what really happened is the schedule plus the delay.
with scheduled as (
    select
        flight_date,
        carrier,
        flight,
        -- a warehouse may load an empty text as such
        nullif(tailnum, '') as tailnum,
        origin,
        dest,
        {{ to_utc(at_clock('flight_date', 'sched_dep_time'), "'America/New_York'") }} as scheduled_departure,
        dep_delay,
        sched_arr_time,
        arr_delay
    from {{ ref('flights') }}
),

seen_from_destination as (
    select
        scheduled.*,
        destinations.time_zone as destination_time_zone,
        {{ to_wall_clock('scheduled.scheduled_departure', 'destinations.time_zone') }} as departure_clock
    from scheduled
    left join {{ ref('stg_airports') }} as destinations
        on scheduled.dest = destinations.airport
),

-- It lands when the destination's clock shows the scheduled arrival for the first time after the departure.
with_arrival_date as (
    select
        seen_from_destination.*,
        case
            when {{ at_clock('cast(departure_clock as date)', 'sched_arr_time') }} > departure_clock
                then cast(departure_clock as date)
            else {{ next_day('cast(departure_clock as date)') }}
        end as arrival_date
    from seen_from_destination
),

with_scheduled_arrival as (
    select
        with_arrival_date.*,
        {{ to_utc(at_clock('arrival_date', 'sched_arr_time'), 'destination_time_zone') }} as scheduled_arrival
    from with_arrival_date
)

select
    concat({{ as_text('flight_date') }}, '_', carrier, '_', {{ as_text('flight') }}, '_', origin) as flight_id,
    carrier,
    tailnum,
    origin,
    dest,
    scheduled_departure,
    {{ plus_minutes('scheduled_departure', 'dep_delay') }} as departed_at,
    dep_delay as departure_delay,
    scheduled_arrival,
    {{ plus_minutes('scheduled_arrival', 'arr_delay') }} as arrived_at,
    arr_delay as arrival_delay
from with_scheduled_arrival
