select customer_id, spent_at, amount_30d from {{ source('lake', 'spend') }}
