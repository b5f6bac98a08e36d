select id as customer, timestamp '2024-01-01' as at, id * 10 as amount
from generate_series(1, 500) as ids (id)
