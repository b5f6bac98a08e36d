{{ merged_versions(source('lake', 'scores_versions'), ['customer_id'], ['scored_at', 'score']) }}
