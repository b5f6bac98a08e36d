{% macro at_clock(date, clock) -%}
{{ adapter.dispatch('at_clock', 'feature_sync')(date, clock) }}
{%- endmacro %}

{% macro default__at_clock(date, clock) -%}
{{ feature_sync.unsupported('at_clock') }}
{%- endmacro %}

{% macro duckdb__at_clock(date, clock) -%}
cast({{ date }} as timestamp) + {{ minutes_of_day(clock) }} * interval '1 minute'
{%- endmacro %}

{% macro postgres__at_clock(date, clock) -%}
{{ feature_sync.duckdb__at_clock(date, clock) }}
{%- endmacro %}

{#- BigQuery keeps what a wall clock shows as a datetime: its timestamps are moments in UTC. -#}
{% macro bigquery__at_clock(date, clock) -%}
datetime_add(cast({{ date }} as datetime), interval {{ minutes_of_day(clock) }} minute)
{%- endmacro %}

{% macro spark__at_clock(date, clock) -%}
timestampadd(minute, {{ minutes_of_day(clock) }}, cast({{ date }} as timestamp_ntz))
{%- endmacro %}
