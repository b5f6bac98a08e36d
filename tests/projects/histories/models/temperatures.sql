select sensor, read_at, loaded_at, celsius from {{ ref('readings') }}
