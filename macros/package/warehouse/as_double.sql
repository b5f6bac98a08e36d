{% macro as_double(value) -%}
{{ adapter.dispatch('as_double', 'feature_sync')(value) }}
{%- endmacro %}

{#- Not `float`: DuckDB keeps only 32 bits of it. -#}
{% macro default__as_double(value) -%}
cast({{ value }} as double precision)
{%- endmacro %}

{% macro bigquery__as_double(value) -%}
cast({{ value }} as float64)
{%- endmacro %}

{% macro spark__as_double(value) -%}
cast({{ value }} as double)
{%- endmacro %}
