{% macro to_utc(wall_clock, time_zone) -%}
{{ adapter.dispatch('to_utc', 'feature_sync')(wall_clock, time_zone) }}
{%- endmacro %}

{% macro default__to_utc(wall_clock, time_zone) -%}
{{ feature_sync.unsupported('to_utc') }}
{%- endmacro %}

{#- The first conversion makes it an instant, the second writes that in UTC whatever the session's time zone. -#}
{% macro duckdb__to_utc(wall_clock, time_zone) -%}
({{ wall_clock }}) at time zone {{ time_zone }} at time zone 'UTC'
{%- endmacro %}

{% macro postgres__to_utc(wall_clock, time_zone) -%}
{{ feature_sync.duckdb__to_utc(wall_clock, time_zone) }}
{%- endmacro %}

{% macro bigquery__to_utc(wall_clock, time_zone) -%}
timestamp({{ wall_clock }}, {{ time_zone }})
{%- endmacro %}

{% macro spark__to_utc(wall_clock, time_zone) -%}
to_utc_timestamp({{ wall_clock }}, {{ time_zone }})
{%- endmacro %}
