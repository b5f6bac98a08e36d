{#- A timestamp without a zone is compared with moments as they are stored, whatever the session's time zone is. -#}
{% macro clock_in_utc() -%}
{{ adapter.dispatch('clock_in_utc', 'feature_sync')() }}
{%- endmacro %}

{% macro default__clock_in_utc() -%}
{{ feature_sync.unsupported('clock_in_utc') }}
{%- endmacro %}

{% macro duckdb__clock_in_utc() -%}
{{ feature_sync.clock() }} at time zone 'UTC'
{%- endmacro %}

{% macro postgres__clock_in_utc() -%}
{{ feature_sync.duckdb__clock_in_utc() }}
{%- endmacro %}

{#- BigQuery's timestamps are moments in UTC. -#}
{% macro bigquery__clock_in_utc() -%}
{{ feature_sync.clock() }}
{%- endmacro %}

{% macro spark__clock_in_utc() -%}
{{ feature_sync.clock() }}
{%- endmacro %}
