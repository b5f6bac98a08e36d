{#-
    The newest count may be that of this very build, or of the one that is tested once more: where it says what the table
    holds, the table is compared with the count before it. What dbt counts as results are the rows that are gone, or have
    come.
-#}
{% test row_count_is_steady(model, counts, shrink=0.1, growth=none) %}

{{- config(fail_calc='coalesce(sum(abs(number_of_rows - number_of_rows_before)), 0)') }}

{%- if model is string -%}
    {{ exceptions.raise_compiler_error('row_count_is_steady counts whole tables: leave out where') }}
{%- endif %}
{{- feature_sync.checked_share(shrink, 'the shrink of row_count_is_steady') }}

with counted as (
    select
        number_of_rows as last_count,
        lag(number_of_rows) over (order by counted_at asc) as count_before,
        row_number() over (order by counted_at desc) as place
    from {{ counts }}
    where name = '{{ model.schema }}.{{ model.identifier }}'
),

held as (
    select count(*) as number_of_rows
    from {{ model }}
),

compared as (
    select
        held.number_of_rows,
        case when held.number_of_rows = counted.last_count then counted.count_before else counted.last_count end as number_of_rows_before
    from held
    cross join counted
    where counted.place = 1
)

select
    number_of_rows,
    number_of_rows_before
from compared
where
    number_of_rows < (1 - {{ shrink }}) * number_of_rows_before
    {%- if growth is not none %}
    or (number_of_rows > (1 + {{ growth }}) * number_of_rows_before and number_of_rows_before > 0)
    {%- endif %}

{% endtest %}
