-- Facts that are only ever added or corrected: each counts from the commit that first held it.
select customer_id, spent_at, amount_30d, min(lake_committed_at) as known_at
from {{ ref('spend_history') }}
group by all
