{% test within_range(model, column_name, minimum=none, maximum=none) %}

{%- if minimum is none and maximum is none -%}
    {{ exceptions.raise_compiler_error('within_range needs a minimum, a maximum, or both') }}
{%- endif %}

select {{ column_name }}
from {{ model }}
where
    false
    {%- if minimum is not none %}
    or not ({{ column_name }} >= {{ minimum }})
    {%- endif %}
    {%- if maximum is not none %}
    or not ({{ column_name }} <= {{ maximum }})
    {%- endif %}

{% endtest %}
