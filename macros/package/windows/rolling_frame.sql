{#- Timestamps count microseconds, so a window that leaves out one of its ends is a microsecond shorter there. -#}
{% macro rolling_frame(window, keys, order_by, closed) -%}
{{ adapter.dispatch('rolling_frame', 'feature_sync')(window, keys, order_by, closed) }}
{%- endmacro %}

{% macro default__rolling_frame(window, keys, order_by, closed) -%}
{%- set length = feature_sync.interval_of(window) -%}
(partition by {{ keys }} order by {{ order_by }} range between {{ ' ' }}
{%- if closed == 'right' -%}
{{ length }} - interval '1 microsecond' preceding and current row)
{%- else -%}
{{ length }} preceding and interval '1 microsecond' preceding)
{%- endif -%}
{%- endmacro %}

{#- BigQuery's ranges are of numbers. -#}
{% macro bigquery__rolling_frame(window, keys, order_by, closed) -%}
{%- set length = feature_sync.seconds_in(window) * 1000000 -%}
(partition by {{ keys }} order by {{ feature_sync.microseconds(order_by) }} range between {{ ' ' }}
{%- if closed == 'right' -%}
{{ length - 1 }} preceding and current row)
{%- else -%}
{{ length }} preceding and 1 preceding)
{%- endif -%}
{%- endmacro %}
