select positions.topic_offset
from {{ ref('staged_table') }} as positions
inner join {{ source('landing', 'alarms') }} as alarms on positions.topic_partition = alarms.topic_partition
