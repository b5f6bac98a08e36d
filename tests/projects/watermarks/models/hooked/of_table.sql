select
    topic_partition,
    topic_offset,
    cast(message_value as {{ dbt.type_bigint() }}) as message_value
from {{ ref('staged_table') }}
