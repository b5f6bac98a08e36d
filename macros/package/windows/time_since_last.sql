{% macro time_since_last(by, order_by, where=none, closed='left', unit='s') -%}
{{- feature_sync.checked_closed(closed, 'time_since_last') -}}
{%- set keys = by if by is string else by | join(', ') -%}
{%- set event = order_by if where is none else 'case when ' ~ where ~ ' then ' ~ order_by ~ ' end' -%}
{{ adapter.dispatch('time_since_last', 'feature_sync')(event, keys, order_by, closed, feature_sync.seconds_in('1' ~ unit) * 1000000) }}
{%- endmacro %}

{% macro default__time_since_last(event, keys, order_by, closed, unit) -%}
{{ feature_sync.unsupported('time_since_last') }}
{%- endmacro %}

{#- Without this, dbt gives Redshift the PostgreSQL macro, whose SQL Redshift does not parse. -#}
{% macro redshift__time_since_last(event, keys, order_by, closed, unit) -%}
{{ feature_sync.default__time_since_last(event, keys, order_by, closed, unit) }}
{%- endmacro %}

{% macro duckdb__time_since_last(event, keys, order_by, closed, unit) -%}
{{ feature_sync.as_double(
    feature_sync.microseconds(order_by) ~ ' - ' ~ feature_sync.microseconds(
        'max(' ~ event ~ ') over (partition by ' ~ keys ~ ' order by ' ~ order_by ~ ' asc range between unbounded preceding and '
        ~ ('current row' if closed == 'right' else "interval '1 microsecond' preceding") ~ ')'
    )
) }} / {{ unit }}
{%- endmacro %}

{% macro postgres__time_since_last(event, keys, order_by, closed, unit) -%}
{{ feature_sync.duckdb__time_since_last(event, keys, order_by, closed, unit) }}
{%- endmacro %}

{% macro bigquery__time_since_last(event, keys, order_by, closed, unit) -%}
{{ feature_sync.as_double(
    feature_sync.microseconds(order_by) ~ ' - ' ~ feature_sync.microseconds(
        'max(' ~ event ~ ') over (partition by ' ~ keys ~ ' order by ' ~ feature_sync.microseconds(order_by)
        ~ ' asc range between unbounded preceding and ' ~ ('current row' if closed == 'right' else '1 preceding') ~ ')'
    )
) }} / {{ unit }}
{%- endmacro %}

{% macro spark__time_since_last(event, keys, order_by, closed, unit) -%}
{{ feature_sync.bigquery__time_since_last(event, keys, order_by, closed, unit) }}
{%- endmacro %}
