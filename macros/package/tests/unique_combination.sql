{#- Rows in which a column is null are counted too: as keys they would be as wrong as any other pair. -#}
{% test unique_combination(model, columns) %}

{%- set names = [columns] if columns is string else columns %}

select
    {{ names | join(',\n    ') }},
    count(*) as number_of_rows
from {{ model }}
group by {{ names | join(', ') }}
having count(*) > 1

{% endtest %}
