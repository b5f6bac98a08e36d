select sensor, max(celsius) as battery from {{ ref('readings') }} group by sensor
