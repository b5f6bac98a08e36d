select
    event_id,
    {{ feature_sync.rolling('count_distinct', 'label', ['1h', '24h', '7d'], by='entity', order_by='happened_at', closed='right', name='right_count_distinct') }},
    {{ feature_sync.rolling('count_distinct', 'label', ['1h', '24h', '7d'], by='entity', order_by='happened_at', closed='left', name='left_count_distinct') }}
from {{ ref('events') }}
