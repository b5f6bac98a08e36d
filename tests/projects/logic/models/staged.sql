{{ config(materialized='incremental') }}
select customer_id, {{ cents('amount') }} as amount, {{ dbt.dateadd('day', 1, 'paid_at') }} as paid_at
from {{ ref('payments') }} cross join {{ source('bank', 'rates') }}
{% if is_incremental() %}where paid_at > {{ newest(this) }}{% endif %}
