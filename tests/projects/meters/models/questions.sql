select meter, read_at from {{ ref('readings') }}
