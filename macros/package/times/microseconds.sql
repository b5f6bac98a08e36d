{#- A number is the same whatever type the timestamp has and whatever the session's time zone is. -#}
{% macro microseconds(timestamp) -%}
{{ adapter.dispatch('microseconds', 'feature_sync')(timestamp) }}
{%- endmacro %}

{% macro default__microseconds(timestamp) -%}
cast(extract(epoch from {{ timestamp }}) * 1000000 as bigint)
{%- endmacro %}

{% macro duckdb__microseconds(timestamp) -%}
epoch_us({{ timestamp }})
{%- endmacro %}

{% macro bigquery__microseconds(timestamp) -%}
unix_micros(cast({{ timestamp }} as timestamp))
{%- endmacro %}
