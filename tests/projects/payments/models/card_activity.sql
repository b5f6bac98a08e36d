select
    card_id,
    paid_at,
    {{ feature_sync.rolling('count', '*', ['1h', '24h', '7d'], by='card_id', order_by='paid_at', closed='right', name='payments') }},
    {{ feature_sync.rolling('sum', 'amount', ['24h', '7d'], by='card_id', order_by='paid_at', closed='right') }},
    {{ feature_sync.rolling('last', 'amount', '30d', by='card_id', order_by='paid_at', closed='left', name='previous_amount') }},
    {{ feature_sync.time_since_last(by='card_id', order_by='paid_at', unit='h') }} as hours_since_last_payment
from {{ ref('card_payments') }}
