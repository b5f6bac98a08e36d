{#- Timestamps count microseconds, so a window that leaves out one of its ends is a microsecond shorter there. -#}
{% macro rolling_frame(window, keys, order_by, closed) -%}
{{ adapter.dispatch('rolling_frame', 'feature_sync')(window, keys, order_by, closed) }}
{%- endmacro %}

{% macro default__rolling_frame(window, keys, order_by, closed) -%}
{{ feature_sync.unsupported('rolling_frame') }}
{%- endmacro %}

{#- Without this, dbt gives Redshift the PostgreSQL macro, whose SQL Redshift does not parse. -#}
{% macro redshift__rolling_frame(window, keys, order_by, closed) -%}
{{ feature_sync.default__rolling_frame(window, keys, order_by, closed) }}
{%- endmacro %}

{% macro duckdb__rolling_frame(window, keys, order_by, closed) -%}
{%- set seconds = feature_sync.seconds_in(window, least=1) - 1 -%}
{%- set frame = "range between interval '" ~ '%d:%02d:%02d.999999' % (seconds // 3600, seconds // 60 % 60, seconds % 60) ~ "' preceding and current row"
    if closed == 'right'
    else 'range between ' ~ feature_sync.interval_of(window) ~ " preceding and interval '1 microsecond' preceding" -%}
(partition by {{ keys }} order by {{ order_by }} asc {{ frame }})
{%- endmacro %}

{% macro postgres__rolling_frame(window, keys, order_by, closed) -%}
{{ feature_sync.duckdb__rolling_frame(window, keys, order_by, closed) }}
{%- endmacro %}

{#- BigQuery's ranges are of numbers. -#}
{% macro bigquery__rolling_frame(window, keys, order_by, closed) -%}
{%- set length = feature_sync.seconds_in(window, least=1) * 1000000 -%}
{%- set frame = 'range between ' ~ (length - 1) ~ ' preceding and current row'
    if closed == 'right'
    else 'range between ' ~ length ~ ' preceding and 1 preceding' -%}
(partition by {{ keys }} order by {{ feature_sync.microseconds(order_by) }} asc {{ frame }})
{%- endmacro %}

{#- Nor are Spark's to be of intervals: a day's would be as long as that day in the session's time zone. -#}
{% macro spark__rolling_frame(window, keys, order_by, closed) -%}
{{ feature_sync.bigquery__rolling_frame(window, keys, order_by, closed) }}
{%- endmacro %}
