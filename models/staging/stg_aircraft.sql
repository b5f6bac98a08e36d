select
    tailnum,
    year,
    seats,
    engines,
    manufacturer
from {{ ref('planes') }}
