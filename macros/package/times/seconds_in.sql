{#- A day is 24 hours: what a session's time zone calls a day never changes an answer. -#}
{% macro seconds_in(duration) -%}
{%- set units = {'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800} -%}
{%- set found = modules.re.match('^([0-9]+)([smhdw])$', duration | string | trim) -%}
{%- if not found -%}
    {{ exceptions.raise_compiler_error("'" ~ duration ~ "' is no duration; write a whole number and a unit (s, m, h, d or w), such as 30d") }}
{%- endif -%}
{{ return((found.group(1) | int) * units[found.group(2)]) }}
{%- endmacro %}
