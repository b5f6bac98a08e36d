select sensor, read_at, loaded_at, celsius as corrected from {{ ref('readings') }}
