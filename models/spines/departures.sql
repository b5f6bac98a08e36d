-- Asked an hour before the scheduled departure; but for the label, nothing here was learnt later.
select
    flight_id,
    carrier,
    tailnum,
    origin,
    dest,
    scheduled_departure,
    {{ plus_minutes('scheduled_departure', -60) }} as asked_at,
    departure_delay > 15 as is_late
from {{ ref('stg_flights') }}
where departed_at is not null
