{{ config(materialized='view') }}
select topic_partition, topic_offset, message_value from {{ ref('of_table') }}
