{#- floor, because warehouses disagree on whether dividing integers leaves an integer. -#}
{% macro minutes_of_day(clock) -%}
(60 * cast(floor({{ clock }} / 100) as integer) + mod({{ clock }}, 100))
{%- endmacro %}
