-- depends_on: {{ ref('weather') }}
select
    origin as airport,
    time_hour as observed_at,
    wind_speed,
    visib,
    precip,
    pressure
from {{ source('weather_service', 'weather') }}
