{{ config(materialized='incremental') -}}

{{ feature_sync.row_counts([ref('all_questions'), ref('windows')]) }}
