{{ config(partition_by=partitioned_by_day('observed_at'), cluster_by=clustered_by(['airport'])) -}}

select
    airport,
    observed_at,
    wind_speed,
    visib,
    precip,
    pressure
from {{ ref('stg_weather') }}
