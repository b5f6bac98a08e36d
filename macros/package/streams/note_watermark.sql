{#- The parents are read now, in a statement of its own before that of the model, which so never sees less than is noted. -#}
{% macro note_watermark(relation, parents) -%}
{%- set watermark = feature_sync.watermark_relation(relation) -%}
{%- if load_relation(watermark) is none -%}
    {%- call statement('create_watermark') -%}
        create table if not exists {{ watermark }} (
            topic {{ dbt.type_string() }},
            topic_partition {{ dbt.type_bigint() }},
            next_offset {{ dbt.type_bigint() }},
            state {{ dbt.type_string() }},
            build {{ dbt.type_string() }}
        )
    {%- endcall -%}
    {%- do adapter.cache_added(watermark) -%}
{%- endif -%}
{%- set holds_all_rows = not flags.EMPTY and not invocation_args_dict.get('sample') -%}
{%- set rows -%}
select topic, topic_partition, next_offset, 'noted' as state, '{{ invocation_id }}' as build
from (
{{ feature_sync.watermark_rows(parents) }}
) as seen
where {{ 'true' if holds_all_rows else 'false' }}
{%- endset -%}
{%- do adapter.dispatch('write_note', 'feature_sync')(watermark, rows) -%}
{%- endmacro %}

{% macro default__write_note(watermark, rows) -%}
{{ feature_sync.unsupported('write_note') }}
{%- endmacro %}

{% macro duckdb__write_note(watermark, rows) -%}
{%- call statement('forget_notes') -%}
    delete from {{ watermark }} where state <> 'valid'
{%- endcall -%}
{%- call statement('note_watermark') -%}
    insert into {{ watermark }} (topic, topic_partition, next_offset, state, build)
    {{ rows }}
{%- endcall -%}
{%- endmacro %}

{% macro postgres__write_note(watermark, rows) -%}
{{ feature_sync.duckdb__write_note(watermark, rows) }}
{%- endmacro %}

{#-
    One statement, since each takes effect by itself. A model that is about to be rebuilt from less than before counts as having
    seen no more from now on: its table is replaced before the other hook runs.
-#}
{% macro bigquery__write_note(watermark, rows) -%}
{%- call statement('note_watermark') -%}
    create or replace table {{ watermark }} as
    with noted as (
        {{ rows }}
    )
    select
        valid.topic,
        valid.topic_partition,
        least(valid.next_offset, noted.next_offset) as next_offset,
        valid.state,
        valid.build
    from {{ watermark }} as valid
    inner join noted on valid.topic = noted.topic and valid.topic_partition = noted.topic_partition
    where valid.state = 'valid'
    union all
    select topic, topic_partition, next_offset, state, build from noted
{%- endcall -%}
{%- endmacro %}
