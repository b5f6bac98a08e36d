{% macro next_day(date) -%}
{{ adapter.dispatch('next_day', 'feature_sync')(date) }}
{%- endmacro %}

{% macro default__next_day(date) -%}
{{ date }} + 1
{%- endmacro %}

{% macro bigquery__next_day(date) -%}
date_add({{ date }}, interval 1 day)
{%- endmacro %}
