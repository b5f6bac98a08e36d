{% macro to_wall_clock(timestamp, time_zone) -%}
{{ adapter.dispatch('to_wall_clock', 'feature_sync')(timestamp, time_zone) }}
{%- endmacro %}

{% macro default__to_wall_clock(timestamp, time_zone) -%}
({{ timestamp }}) at time zone 'UTC' at time zone {{ time_zone }}
{%- endmacro %}

{% macro bigquery__to_wall_clock(timestamp, time_zone) -%}
datetime({{ timestamp }}, {{ time_zone }})
{%- endmacro %}
