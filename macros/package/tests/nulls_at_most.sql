{#- What dbt counts as results are the nulls. -#}
{% test nulls_at_most(model, column_name, share) %}

{{- config(fail_calc='coalesce(sum(number_of_nulls), 0)') }}
{{- feature_sync.checked_share(share, 'the share of nulls_at_most') }}

with counted as (
    select
        count(*) as number_of_rows,
        count(*) - count({{ column_name }}) as number_of_nulls
    from {{ model }}
)

select
    number_of_rows,
    number_of_nulls,
    {{ share }} as share_allowed
from counted
where number_of_nulls > {{ share }} * number_of_rows

{% endtest %}
