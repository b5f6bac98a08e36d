{#- What dbt counts as results are the rows that are gone, or have come. -#}
{% test row_count_is_steady(model, counts, shrink=0.1, growth=none) %}

{{- config(fail_calc='coalesce(sum(abs(number_of_rows - number_of_rows_before)), 0)') }}

{%- if model is string -%}
    {{ exceptions.raise_compiler_error('row_count_is_steady counts whole tables: leave out where') }}
{%- endif %}

with earlier as (
    select number_of_rows
    from {{ counts }}
    where
        name = '{{ model.identifier }}'
        and invocation_id <> '{{ invocation_id }}'
    order by counted_at desc
    limit 1
),

compared as (
    select
        (select count(*) from {{ model }}) as number_of_rows,
        number_of_rows as number_of_rows_before
    from earlier
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
