select customer_id, ordered_at, total from {{ source('lake', 'orders') }}
