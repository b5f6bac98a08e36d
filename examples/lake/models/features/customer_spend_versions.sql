{{ merged_versions(ref('spend_history'), ['customer_id'], ['spent_at', 'amount_30d']) }}
