{% macro plus_minutes(timestamp, minutes) -%}
{{ adapter.dispatch('plus_minutes', 'feature_sync')(timestamp, minutes) }}
{%- endmacro %}

{% macro default__plus_minutes(timestamp, minutes) -%}
{{ feature_sync.unsupported('plus_minutes') }}
{%- endmacro %}

{% macro duckdb__plus_minutes(timestamp, minutes) -%}
{{ timestamp }} + ({{ minutes }}) * interval '1 minute'
{%- endmacro %}

{% macro postgres__plus_minutes(timestamp, minutes) -%}
{{ feature_sync.duckdb__plus_minutes(timestamp, minutes) }}
{%- endmacro %}

{% macro bigquery__plus_minutes(timestamp, minutes) -%}
timestamp_add({{ timestamp }}, interval ({{ minutes }}) minute)
{%- endmacro %}

{% macro spark__plus_minutes(timestamp, minutes) -%}
timestamp_micros({{ feature_sync.microseconds(timestamp) }} + cast({{ minutes }} as bigint) * 60000000)
{%- endmacro %}
