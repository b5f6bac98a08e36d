{#- The error of a `default__` macro whose SQL only some warehouses parse, instead of SQL that the others fail to parse. -#}
{% macro unsupported(macro_name) -%}
{{ exceptions.raise_compiler_error(
    "the macro " ~ macro_name ~ " writes SQL for duckdb, postgres, bigquery and spark, and has none for " ~ target.type ~ ". If you know how "
    ~ target.type ~ " says it, write the macro " ~ target.type ~ "__" ~ macro_name ~ " in your project, and let dbt look there first: "
    ~ "dispatch: [{macro_namespace: feature_sync, search_order: [" ~ project_name ~ ", feature_sync]}] in dbt_project.yml"
) }}
{%- endmacro %}
