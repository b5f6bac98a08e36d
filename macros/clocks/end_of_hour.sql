{#- A window that ends at a full hour holds that very moment, so a full hour is its own end. -#}
{% macro end_of_hour(timestamp) -%}
case
    when {{ timestamp }} = {{ start_of_hour(timestamp) }} then {{ timestamp }}
    else {{ plus_minutes(start_of_hour(timestamp), 60) }}
end
{%- endmacro %}
