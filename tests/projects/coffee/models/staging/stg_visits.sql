select customer_id, page, visited_at, _etl_loaded_at
from {{ ref('raw_visits') }}
