{{ feature_sync.as_feature_view(
    ref('card_history'), keys='card_id', features=['plan', 'monthly_limit'], is_deleted='dbt_is_deleted'
) }}
