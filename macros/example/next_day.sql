{% macro next_day(date) -%}
{{ adapter.dispatch('next_day', 'feature_sync')(date) }}
{%- endmacro %}

{% macro default__next_day(date) -%}
{{ feature_sync.unsupported('next_day') }}
{%- endmacro %}

{% macro duckdb__next_day(date) -%}
{{ date }} + 1
{%- endmacro %}

{% macro postgres__next_day(date) -%}
{{ feature_sync.duckdb__next_day(date) }}
{%- endmacro %}

{% macro bigquery__next_day(date) -%}
date_add({{ date }}, interval 1 day)
{%- endmacro %}

{% macro spark__next_day(date) -%}
date_add({{ date }}, 1)
{%- endmacro %}
