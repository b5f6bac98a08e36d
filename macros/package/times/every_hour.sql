{% macro every_hour(first, last, name) -%}
{{ adapter.dispatch('every_hour', 'feature_sync')(first, last, name) }}
{%- endmacro %}

{% macro default__every_hour(first, last, name) -%}
{{ feature_sync.unsupported('every_hour') }}
{%- endmacro %}

{#- Without this, dbt gives Redshift the PostgreSQL macro, whose SQL Redshift does not parse. -#}
{% macro redshift__every_hour(first, last, name) -%}
{{ feature_sync.default__every_hour(first, last, name) }}
{%- endmacro %}

{% macro postgres__every_hour(first, last, name) -%}
generate_series({{ first }}, {{ last }}, interval '1 hour') as hours ({{ name }})
{%- endmacro %}

{% macro duckdb__every_hour(first, last, name) -%}
unnest(generate_series({{ first }}, {{ last }}, interval '1 hour')) as hours ({{ name }})
{%- endmacro %}

{% macro bigquery__every_hour(first, last, name) -%}
unnest(generate_timestamp_array({{ first }}, {{ last }}, interval 1 hour)) as {{ name }}
{%- endmacro %}

{#- A sequence that ends before it begins is an error, even in a branch that is not taken. -#}
{% macro spark__every_hour(first, last, name) -%}
lateral explode(case when {{ first }} <= {{ last }} then sequence({{ first }}, greatest({{ first }}, {{ last }}), interval '1' hour) end) as hours ({{ name }})
{%- endmacro %}
