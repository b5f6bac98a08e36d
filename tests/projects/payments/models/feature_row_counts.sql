{{ config(materialized='incremental') -}}

{{ feature_sync.row_counts([ref('card_activity'), ref('merchant_hours')]) }}
