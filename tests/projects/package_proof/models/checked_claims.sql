select
    row_id,
    entity,
    happened_at,
    created_at,
    amount,
    account
from {{ ref('claims') }}
