{% macro rolling_count_distinct(column, window, keys, order_by, closed) -%}
{{ adapter.dispatch('rolling_count_distinct', 'feature_sync')(column, window, keys, order_by, closed) }}
{%- endmacro %}

{% macro default__rolling_count_distinct(column, window, keys, order_by, closed) -%}
{{ feature_sync.unsupported('rolling_count_distinct') }}
{%- endmacro %}

{#- Without this, dbt gives Redshift the PostgreSQL macro, whose SQL Redshift does not parse. -#}
{% macro redshift__rolling_count_distinct(column, window, keys, order_by, closed) -%}
{{ feature_sync.default__rolling_count_distinct(column, window, keys, order_by, closed) }}
{%- endmacro %}

{#- Postgres takes no DISTINCT in a window, but the keys of a JSON object are distinct. -#}
{% macro postgres__rolling_count_distinct(column, window, keys, order_by, closed) -%}
cast(coalesce(jsonb_array_length(jsonb_path_query_array(
    jsonb_object_agg(cast({{ column }} as text), true) filter (where {{ column }} is not null)
    over {{ feature_sync.rolling_frame(window, keys, order_by, closed) }},
    '$.keyvalue()'
)), 0) as bigint)
{%- endmacro %}

{% macro duckdb__rolling_count_distinct(column, window, keys, order_by, closed) -%}
count(distinct {{ column }}) over {{ feature_sync.rolling_frame(window, keys, order_by, closed) }}
{%- endmacro %}

{#- Nor does BigQuery where the window has an order. A null is a key there like any other, and is removed again. -#}
{% macro bigquery__rolling_count_distinct(column, window, keys, order_by, closed) -%}
{%- set frame = feature_sync.rolling_frame(window, keys, order_by, closed) -%}
{%- set texts = "ifnull(array_agg(ifnull(concat('=', cast(" ~ column ~ " as string)), '')) over " ~ frame ~ ", [])" -%}
array_length(json_keys(json_object({{ texts }}, {{ texts }}))) - ifnull(max(if({{ column }} is null, 1, 0)) over {{ frame }}, 0)
{%- endmacro %}

{#- Nor does Spark. Sail collects null of no rows, Spark nothing. -#}
{% macro spark__rolling_count_distinct(column, window, keys, order_by, closed) -%}
cast(greatest(size(collect_set({{ column }}) over {{ feature_sync.rolling_frame(window, keys, order_by, closed) }}), 0) as bigint)
{%- endmacro %}
