{#- A table for each model, so that builds side by side never wait for each other. feature-sync derives the same name. -#}
{% macro watermark_relation(relation) -%}
{%- set name = relation.identifier ~ '__watermark' -%}
{%- if target.type == 'postgres' and name | length > 63 -%}
    {{ exceptions.raise_compiler_error(
        "the name " ~ relation.identifier ~ " is too long for the table of its watermark, " ~ name ~ ": PostgreSQL takes 63 "
        ~ "characters; give the model a shorter alias"
    ) }}
{%- endif -%}
{{ return(api.Relation.create(database=relation.database, schema=relation.schema, identifier=name, type='table')) }}
{%- endmacro %}
