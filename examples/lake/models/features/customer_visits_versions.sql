{{ merged_versions(source('lake', 'visits_versions'), ['customer_id'], ['visited_at', 'visits_7d']) }}
