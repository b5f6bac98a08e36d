-- depends_on: {{ ref('weather') }}
select
    origin as airport,
    time_hour as observed_at,
    -- The source holds a slip of the instrument, 1,048 miles per hour; no storm has reached 260.
    case when wind_speed < 260 then wind_speed end as wind_speed,
    visib,
    precip,
    pressure
from {{ source('weather_service', 'weather') }}
