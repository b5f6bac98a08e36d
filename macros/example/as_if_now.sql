{#- dbt measures freshness by the real clock, while the example's stands still: data an hour old there counts as an hour old here. -#}
{% macro as_if_now(timestamp) -%}
{{ adapter.dispatch('as_if_now', 'feature_sync')(
    feature_sync.microseconds(timestamp) ~ ' - ' ~ feature_sync.microseconds(feature_sync.clock())
    ~ ' + ' ~ feature_sync.microseconds(adapter.dispatch('now', 'feature_sync')())
) }}
{%- endmacro %}

{% macro default__as_if_now(microseconds) -%}
{{ feature_sync.unsupported('as_if_now') }}
{%- endmacro %}

{% macro duckdb__as_if_now(microseconds) -%}
to_timestamp(({{ microseconds }}) / 1000000.0)
{%- endmacro %}

{% macro postgres__as_if_now(microseconds) -%}
{{ feature_sync.duckdb__as_if_now(microseconds) }}
{%- endmacro %}

{% macro bigquery__as_if_now(microseconds) -%}
timestamp_micros({{ microseconds }})
{%- endmacro %}

{% macro spark__as_if_now(microseconds) -%}
timestamp_micros({{ microseconds }})
{%- endmacro %}
