{#- Rows of all versions of a table as spans: what stands unchanged in consecutive versions is one row. A version without
    rows ends those before, since each row says when the next version came. -#}
{% macro merged_versions(versions, keys, columns) -%}
{%- set key = keys | join(', ') -%}
{%- set value = columns | join(', ') -%}
with

compared as (
    select
        {{ key }}, {{ value }}, lake_committed_at, lake_replaced_at,
        lag(lake_replaced_at) over one = lake_committed_at
            and lag(row({{ value }})) over one is not distinct from row({{ value }}) as goes_on
    from {{ versions }}
    where lake_replaced_at is distinct from lake_committed_at    -- of commits of one moment the last stands
    window one as (partition by {{ key }} order by lake_committed_at)
),

numbered as (
    select *, count(*) filter (where goes_on is not true) over one as span
    from compared
    window one as (partition by {{ key }} order by lake_committed_at)
)

select
    {{ key }}, {{ value }},
    min(lake_committed_at) as valid_from,
    case when count(lake_replaced_at) = count(*) then max(lake_replaced_at) end as valid_to
from numbered
group by {{ key }}, {{ value }}, span
{%- endmacro %}
