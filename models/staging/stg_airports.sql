select
    faa as airport,
    name,
    tzone as time_zone
from {{ ref('airports') }}
