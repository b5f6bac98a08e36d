{% macro start_of_hour(timestamp) -%}
{{ adapter.dispatch('start_of_hour', 'feature_sync')(timestamp) }}
{%- endmacro %}

{% macro default__start_of_hour(timestamp) -%}
date_trunc('hour', {{ timestamp }})
{%- endmacro %}

{% macro bigquery__start_of_hour(timestamp) -%}
timestamp_trunc({{ timestamp }}, hour)
{%- endmacro %}
