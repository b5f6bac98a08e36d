{#- Only the note of this very build: another build of the model may have noted what this one has not read. -#}
{% macro keep_watermark(watermark) -%}
{%- do adapter.dispatch('keep_note', 'feature_sync')(watermark) -%}
{%- endmacro %}

{% macro default__keep_note(watermark) -%}
{{ feature_sync.unsupported('keep_note') }}
{%- endmacro %}

{% macro duckdb__keep_note(watermark) -%}
{%- call statement('forget_watermark') -%}
    delete from {{ watermark }} where state = 'valid'
{%- endcall -%}
{%- call statement('keep_watermark') -%}
    update {{ watermark }} set state = 'valid' where build = '{{ invocation_id }}'
{%- endcall -%}
{%- endmacro %}

{% macro postgres__keep_note(watermark) -%}
{{ feature_sync.duckdb__keep_note(watermark) }}
{%- endmacro %}

{% macro bigquery__keep_note(watermark) -%}
{%- call statement('keep_watermark') -%}
    create or replace table {{ watermark }} as
    select topic, topic_partition, next_offset, 'valid' as state, build
    from {{ watermark }}
    where state <> 'valid' and build = '{{ invocation_id }}'
{%- endcall -%}
{%- endmacro %}
