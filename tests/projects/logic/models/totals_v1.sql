select customer_id, 0 as amount, paid_at from {{ ref('staged') }}
