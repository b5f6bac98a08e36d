select
    customer_id,
    ordered_at,
    count(*) over (partition by customer_id order by ordered_at) as order_count,
    sum(amount) over (partition by customer_id order by ordered_at) as amount_total
from {{ ref('orders') }}
