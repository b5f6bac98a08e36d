select kafka_partition, kafka_offset from {{ source('landing', 'own_positions') }}
