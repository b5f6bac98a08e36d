{#- A day is 24 hours: what a session's time zone calls a day never changes an answer. -#}
{% macro seconds_in(duration, least=0) -%}
{%- set units = {'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800} -%}
{%- set found = modules.re.match('^([0-9]+)([smhdw])$', duration | string | trim) -%}
{%- if not found -%}
    {{ exceptions.raise_compiler_error("'" ~ duration ~ "' is not a duration; write a whole number and a unit (s, m, h, d or w), such as 30d") }}
{%- endif -%}
{%- set seconds = (found.group(1) | int) * units[found.group(2)] -%}
{%- if seconds < least -%}
    {{ exceptions.raise_compiler_error("a window of '" ~ duration ~ "' holds nothing") }}
{%- endif -%}
{{ return(seconds) }}
{%- endmacro %}
