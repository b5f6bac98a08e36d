select
    origin as airport,
    time_hour as observed_at,
    wind_speed,
    visib,
    precip,
    pressure
from {{ ref('weather') }}
