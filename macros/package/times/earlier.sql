{% macro earlier(timestamp, duration) -%}
{{ adapter.dispatch('earlier', 'feature_sync')(timestamp, duration) }}
{%- endmacro %}

{% macro default__earlier(timestamp, duration) -%}
{{ feature_sync.unsupported('earlier') }}
{%- endmacro %}

{% macro duckdb__earlier(timestamp, duration) -%}
{{ timestamp }} - {{ feature_sync.interval_of(duration) }}
{%- endmacro %}

{% macro postgres__earlier(timestamp, duration) -%}
{{ feature_sync.duckdb__earlier(timestamp, duration) }}
{%- endmacro %}

{% macro bigquery__earlier(timestamp, duration) -%}
timestamp_sub({{ timestamp }}, interval {{ feature_sync.seconds_in(duration) }} second)
{%- endmacro %}

{#- In microseconds: an interval of a day is as long as that day in the session's time zone. -#}
{% macro spark__earlier(timestamp, duration) -%}
timestamp_micros({{ feature_sync.microseconds(timestamp) }} - {{ feature_sync.seconds_in(duration) * 1000000 }})
{%- endmacro %}
