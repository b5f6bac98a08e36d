{% macro types_of(relation, names) -%}
{%- set types = {} -%}
{%- if execute -%}
    {%- for column in adapter.get_columns_in_relation(relation) -%}
        {%- do types.update({column.name | lower: column.data_type}) -%}
    {%- endfor -%}
{%- endif -%}
{%- set found = [] -%}
{%- for name in names -%}
    {%- do found.append(types.get(name | lower | replace('"', '') | replace('`', ''), 'unknown')) -%}
{%- endfor -%}
{{ return(found) }}
{%- endmacro %}
