select
    card_id,
    paid_at,
    {{ feature_sync.rolling('count_distinct', 'merchant', ['24h', '7d'], by='card_id', order_by='paid_at', closed='right') }}
from {{ ref('card_payments') }}
