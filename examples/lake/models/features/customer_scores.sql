select customer_id, scored_at, score from {{ source('lake', 'scores') }}
