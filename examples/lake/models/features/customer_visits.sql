select customer_id, visited_at, visits_7d from {{ source('lake', 'visits') }}
