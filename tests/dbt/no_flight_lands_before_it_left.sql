-- Nor does one take less than half an hour, or more than 13 hours (12 can be too few against the wind, to Honolulu), or
-- arrive without having left.
select
    flight_id,
    dest,
    departed_at,
    arrived_at
from {{ ref('stg_flights') }}
where
    {{ plus_minutes('departed_at', 30) }} > arrived_at
    or {{ plus_minutes('departed_at', 13 * 60) }} < arrived_at
    or (departed_at is null and arrived_at is not null)
