{{ config(enabled=var('forgotten', false)) }}
select topic_partition, topic_offset from {{ ref('forgotten') }}
