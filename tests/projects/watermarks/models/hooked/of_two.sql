select
    staged_table.topic_partition,
    staged_table.topic_offset,
    staged_incremental.message_value
from {{ ref('staged_table') }} as staged_table
inner join {{ ref('staged_incremental') }} as staged_incremental
    on
        staged_table.topic_partition = staged_incremental.topic_partition
        and staged_table.topic_offset = staged_incremental.topic_offset
