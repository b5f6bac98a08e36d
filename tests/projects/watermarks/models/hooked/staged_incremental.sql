{{ config(materialized='incremental', unique_key=['topic_partition', 'topic_offset']) }}
select topic_partition, topic_offset, message_value
from {{ source('landing', 'positions') }}
where {{ feature_sync.unseen('positions') }}
