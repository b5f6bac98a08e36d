{% macro as_text(value) -%}
{{ adapter.dispatch('as_text', 'feature_sync')(value) }}
{%- endmacro %}

{% macro default__as_text(value) -%}
cast({{ value }} as varchar)
{%- endmacro %}

{% macro duckdb__as_text(value) -%}
cast({{ value }} as text)
{%- endmacro %}

{% macro postgres__as_text(value) -%}
{{ feature_sync.duckdb__as_text(value) }}
{%- endmacro %}

{% macro bigquery__as_text(value) -%}
cast({{ value }} as string)
{%- endmacro %}

{% macro spark__as_text(value) -%}
{{ feature_sync.bigquery__as_text(value) }}
{%- endmacro %}
