select id as customer, id * 7 as price
from generate_series(1, 500) as ids (id)
