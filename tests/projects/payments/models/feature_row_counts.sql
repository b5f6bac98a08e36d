{{ config(materialized='incremental', full_refresh=false) -}}

{{ feature_sync.row_counts([ref('card_activity'), ref('merchant_hours')]) }}
