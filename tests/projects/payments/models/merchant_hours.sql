{{ config(materialized='incremental', unique_key=['merchant', 'hour_end']) -}}

{{ feature_sync.bucketed(
    ref('card_payments'),
    by='merchant',
    event_time='paid_at',
    bucket='1h',
    aggregates={'payments': 'count(*)', 'amount': 'sum(amount)', 'cards': 'count(distinct card_id)'},
    closed='right',
    loaded_at='loaded_at',
    end_name='hour_end',
) }}
