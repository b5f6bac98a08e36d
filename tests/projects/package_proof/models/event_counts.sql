{{ config(materialized='incremental', full_refresh=false) -}}

{{ feature_sync.row_counts([ref('all_questions'), ref('windows')]) }}
