select id as customer, timestamp '2024-01-02' as asked_at
from generate_series(1, 500) as ids (id)
