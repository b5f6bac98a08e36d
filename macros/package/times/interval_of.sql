{#- In hours where it can be: hours are as long everywhere, days are not. -#}
{% macro interval_of(duration) -%}
{%- set seconds = feature_sync.seconds_in(duration) -%}
{%- set size, unit = (3600, 'hour') if seconds % 3600 == 0 else ((60, 'minute') if seconds % 60 == 0 else (1, 'second')) -%}
interval '{{ seconds // size }} {{ unit }}{{ 's' if seconds != size }}'
{%- endmacro %}
