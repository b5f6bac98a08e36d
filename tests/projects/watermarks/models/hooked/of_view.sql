select topic_partition, topic_offset, message_value from {{ ref('staged_view') }}
