select distinct sensor, upper(sensor) as place from {{ ref('readings') }}
