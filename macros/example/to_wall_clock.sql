{% macro to_wall_clock(timestamp, time_zone) -%}
{{ adapter.dispatch('to_wall_clock', 'feature_sync')(timestamp, time_zone) }}
{%- endmacro %}

{% macro default__to_wall_clock(timestamp, time_zone) -%}
{{ feature_sync.unsupported('to_wall_clock') }}
{%- endmacro %}

{% macro duckdb__to_wall_clock(timestamp, time_zone) -%}
({{ timestamp }}) at time zone 'UTC' at time zone {{ time_zone }}
{%- endmacro %}

{% macro postgres__to_wall_clock(timestamp, time_zone) -%}
{{ feature_sync.duckdb__to_wall_clock(timestamp, time_zone) }}
{%- endmacro %}

{#- Through text: if the zone is a column, the emulator reads `datetime(moment, zone)` as a date and a time. -#}
{% macro bigquery__to_wall_clock(timestamp, time_zone) -%}
cast(format_timestamp('%F %H:%M:%E6S', {{ timestamp }}, {{ time_zone }}) as datetime)
{%- endmacro %}

{% macro spark__to_wall_clock(timestamp, time_zone) -%}
cast(from_utc_timestamp({{ timestamp }}, {{ time_zone }}) as timestamp_ntz)
{%- endmacro %}
