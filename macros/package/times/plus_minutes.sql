{% macro plus_minutes(timestamp, minutes) -%}
{{ adapter.dispatch('plus_minutes', 'feature_sync')(timestamp, minutes) }}
{%- endmacro %}

{% macro default__plus_minutes(timestamp, minutes) -%}
{{ timestamp }} + ({{ minutes }}) * interval '1 minute'
{%- endmacro %}

{% macro bigquery__plus_minutes(timestamp, minutes) -%}
timestamp_add({{ timestamp }}, interval ({{ minutes }}) minute)
{%- endmacro %}
