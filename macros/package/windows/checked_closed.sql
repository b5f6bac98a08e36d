{% macro checked_closed(closed, macro_name) -%}
{%- if closed not in ('left', 'right') -%}
    {{ exceptions.raise_compiler_error(
        macro_name ~ " needs closed='right' or closed='left'. 'right': the window ends at the row's own moment and holds it, so a "
        ~ "row counts itself. 'left': the window ends just before it, so a row knows only what came earlier; take this one where the "
        ~ "row's own value is what a model shall predict."
    ) }}
{%- endif -%}
{%- endmacro %}
