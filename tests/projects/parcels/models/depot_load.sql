select
    depot,
    parcels,
    cast(counted_at as timestamp) as counted_at
from (
    values
        ('north', 40, '2024-05-01 10:00:00'),
        ('north', 55, '2024-05-01 11:00:00'),
        ('south', 7, '2024-05-01 11:30:00')
) as counts (depot, parcels, counted_at)
