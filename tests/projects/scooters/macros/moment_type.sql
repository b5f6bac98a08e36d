{% macro moment_type() -%}
{{ 'timestamp' if target.type == 'bigquery' else 'timestamptz' }}
{%- endmacro %}
