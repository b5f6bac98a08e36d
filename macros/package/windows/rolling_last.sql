{#-
    Of rows at one moment the greatest value is the last, so that the order of rows in the table has no say. Seen from
    the left, the rows of the moment before are a group of their own, which counts if it lies within the window.
-#}
{% macro rolling_last(column, window, keys, order_by, closed) -%}
{{ adapter.dispatch('rolling_last', 'feature_sync')(column, window, keys, order_by, closed) }}
{%- endmacro %}

{% macro default__rolling_last(column, window, keys, order_by, closed) -%}
{{ feature_sync.unsupported('rolling_last') }}
{%- endmacro %}

{#- Without this, dbt gives Redshift the PostgreSQL macro, whose SQL Redshift does not parse. -#}
{% macro redshift__rolling_last(column, window, keys, order_by, closed) -%}
{{ feature_sync.default__rolling_last(column, window, keys, order_by, closed) }}
{%- endmacro %}

{% macro duckdb__rolling_last(column, window, keys, order_by, closed) -%}
{%- if closed == 'right' -%}
max({{ column }}) over (partition by {{ keys }}, {{ order_by }})
{%- else -%}
{%- set before = '(partition by ' ~ keys ~ ' order by ' ~ order_by ~ ' asc groups between 1 preceding and 1 preceding)' -%}
case
    when max({{ order_by }}) over {{ before }} >= {{ feature_sync.earlier(order_by, window) }}
        then max({{ column }}) over {{ before }}
end
{%- endif -%}
{%- endmacro %}

{% macro postgres__rolling_last(column, window, keys, order_by, closed) -%}
{{ feature_sync.duckdb__rolling_last(column, window, keys, order_by, closed) }}
{%- endmacro %}

{#- BigQuery has no groups: which of several rows at one earlier moment is the last is not defined there. -#}
{% macro bigquery__rolling_last(column, window, keys, order_by, closed) -%}
{%- if closed == 'right' -%}
max({{ column }}) over (partition by {{ keys }}, {{ order_by }})
{%- else -%}
last_value({{ column }}) over {{ feature_sync.rolling_frame(window, keys, order_by, closed) }}
{%- endif -%}
{%- endmacro %}

{#- Nor has Spark, but the greatest pair of moment and value is that of the last moment; a null is the least value. -#}
{% macro spark__rolling_last(column, window, keys, order_by, closed) -%}
{%- if closed == 'right' -%}
max({{ column }}) over (partition by {{ keys }}, {{ order_by }})
{%- else -%}
(max(struct({{ order_by }} as moment, {{ column }} as value)) over {{ feature_sync.rolling_frame(window, keys, order_by, closed) }}).value
{%- endif -%}
{%- endmacro %}
