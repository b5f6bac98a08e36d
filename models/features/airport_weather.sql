select
    airport,
    observed_at,
    wind_speed,
    visib,
    precip,
    pressure
from {{ ref('stg_weather') }}
