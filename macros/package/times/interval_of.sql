{#- In hours where it can be: hours are as long everywhere, days are not. -#}
{% macro interval_of(duration) -%}
{%- set seconds = feature_sync.seconds_in(duration) -%}
{%- if seconds % 3600 == 0 -%}
interval '{{ seconds // 3600 }} hours'
{%- elif seconds % 60 == 0 -%}
interval '{{ seconds // 60 }} minutes'
{%- else -%}
interval '{{ seconds }} seconds'
{%- endif -%}
{%- endmacro %}
