select
    customer_id,
    order_date,
    count(*) as orders
from {{ ref('stg_orders') }}
group by customer_id, order_date
