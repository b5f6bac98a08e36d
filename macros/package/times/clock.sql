{#- The moment to use as now: the var feature_sync_as_of, else the warehouse's own clock. -#}
{% macro clock() -%}
{%- set as_of = var('feature_sync_as_of', none) -%}
{{ feature_sync.instant(as_of, 'the var feature_sync_as_of') if as_of else adapter.dispatch('now', 'feature_sync')() }}
{%- endmacro %}

{% macro default__now() -%}
current_timestamp
{%- endmacro %}

{% macro duckdb__now() -%}
now()
{%- endmacro %}

{% macro postgres__now() -%}
now()
{%- endmacro %}

{% macro bigquery__now() -%}
current_timestamp()
{%- endmacro %}
