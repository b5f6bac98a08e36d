select
    event_id,
    entity,
    happened_at,
    {%- for closed in ['right', 'left'] %}
    {%- for aggregate in ['count', 'sum', 'mean', 'min', 'max', 'stddev', 'last'] %}
    {{ feature_sync.rolling(
        aggregate, 'amount', ['1h', '24h', '7d'], by='entity', order_by='happened_at', closed=closed, name=closed ~ '_' ~ aggregate
    ) }},
    {%- endfor %}
    {{ feature_sync.time_since_last(by=['entity'], order_by='happened_at', where='amount > 5', closed=closed, unit='m') }} as {{ closed }}_since_large,
    {%- endfor %}
    {{ feature_sync.rolling('count', '*', '90m', by='entity', order_by='happened_at', closed='right') }},
    {{ feature_sync.time_since_last(by='entity', order_by='happened_at') }} as since_last
from {{ ref('events') }}
