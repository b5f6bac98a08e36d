{{ config(materialized='incremental', unique_key=['topic_partition', 'topic_offset']) -}}

select distinct
    topic_partition,
    topic_offset,
    {{ json_field('scooter_id') }} as scooter_id,
    cast({{ json_field('measured_at') }} as {{ moment_type() }}) as measured_at,
    cast({{ json_field('battery') }} as {{ dbt.type_float() }}) as battery,
    {{ json_field('zone') }} as zone
from {{ source('landing', 'positions') }}
where
    {{ is_json() }}
    and {{ feature_sync.unseen('positions') }}
