{% macro md5_digits(values) -%}
{%- set texts = [] -%}
{%- for value in values -%}
    {%- do texts.append("coalesce(" ~ feature_sync.as_text(value) ~ ", '')") -%}
{%- endfor -%}
{{ adapter.dispatch('md5_digits', 'feature_sync')('concat(' ~ texts | join(", '|', ") ~ ')') }}
{%- endmacro %}

{% macro default__md5_digits(text) -%}
{{ feature_sync.unsupported('md5_digits') }}
{%- endmacro %}

{% macro duckdb__md5_digits(text) -%}
substring(md5({{ text }}), 1, 8)
{%- endmacro %}

{% macro postgres__md5_digits(text) -%}
{{ feature_sync.duckdb__md5_digits(text) }}
{%- endmacro %}

{% macro bigquery__md5_digits(text) -%}
substring(to_hex(md5({{ text }})), 1, 8)
{%- endmacro %}

{% macro spark__md5_digits(text) -%}
{{ feature_sync.duckdb__md5_digits(text) }}
{%- endmacro %}
