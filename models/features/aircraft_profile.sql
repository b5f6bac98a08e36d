{{ config(cluster_by=clustered_by(['tailnum'])) -}}

select
    tailnum,
    cast(year as integer) as year,
    cast(seats as integer) as seats,
    cast(engines as integer) as engines,
    manufacturer
from {{ ref('stg_aircraft') }}
