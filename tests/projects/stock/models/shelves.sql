select shop, item, counted_at, amount, pieces, label from {{ ref('counts') }}
