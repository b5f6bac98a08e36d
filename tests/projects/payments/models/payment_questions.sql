{{ feature_sync.feature_spine(
    ref('card_payments'), keys=['card_id', 'merchant'], event_time='paid_at', columns=['is_fraud'], ahead='1s', at_most=100
) }}
