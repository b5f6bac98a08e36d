{#- What `config(partition_by=...)` needs where partitions are what a query pays for; elsewhere nothing. -#}
{% macro partitioned_by_day(column_name) -%}
{{ return(adapter.dispatch('partitioned_by_day', 'feature_sync')(column_name)) }}
{%- endmacro %}

{% macro default__partitioned_by_day(column_name) -%}
{{ return(none) }}
{%- endmacro %}

{% macro bigquery__partitioned_by_day(column_name) -%}
{{ return({'field': column_name, 'data_type': 'timestamp', 'granularity': 'day'}) }}
{%- endmacro %}
