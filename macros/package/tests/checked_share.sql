{% macro checked_share(share, named) -%}
{%- if not 0 <= share | float(-1) <= 1 -%}
    {{ exceptions.raise_compiler_error(named ~ " is a part of 1, such as 0.05 for 5%, not " ~ share) }}
{%- endif -%}
{%- endmacro %}
