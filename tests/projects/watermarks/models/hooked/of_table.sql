select
    topic_partition,
    topic_offset,
    message_value
from {{ ref('staged_table') }}
where {{ 'no_such_column' if var('broken', false) else 'topic_offset' }} >= 0
