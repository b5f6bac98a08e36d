select topic_partition, topic_offset, message_value from {{ source('landing', 'positions') }}
