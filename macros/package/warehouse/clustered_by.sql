{% macro clustered_by(column_names) -%}
{{ return(adapter.dispatch('clustered_by', 'feature_sync')(column_names)) }}
{%- endmacro %}

{% macro default__clustered_by(column_names) -%}
{{ return(none) }}
{%- endmacro %}

{% macro bigquery__clustered_by(column_names) -%}
{{ return(column_names) }}
{%- endmacro %}
