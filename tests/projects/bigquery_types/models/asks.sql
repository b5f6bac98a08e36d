select id, timestamp '2024-01-02 00:00:00+00' as asked_at
from unnest([1, 2, 3, 4]) as id
