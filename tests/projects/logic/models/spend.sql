select customer_id, paid_at, loaded_at, amount
from {{ ref('totals') }} join {{ ref('scored') }} using (customer_id)
