select meter, read_at, loaded_at, kwh, note from {{ ref('readings') }}
