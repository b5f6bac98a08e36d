-- depends_on: {{ ref('readings') }}
select meter, read_at, loaded_at, kwh, note from {{ source('raw', 'readings') }}
