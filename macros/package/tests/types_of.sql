{#-
    Read by a query without rows, since what is under test may be a sub-query; only where tests run, as other commands may
    come before the first build. One word stands for all lengths of text, and for all widths of integers: they are joined as
    they are.
-#}
{% macro types_of(relation, names) -%}
{%- set types = [] -%}
{%- set asks = execute and flags.WHICH in ('build', 'test', 'retry') -%}
{%- for type in (adapter.dispatch('types_of', 'feature_sync')(relation, names) if asks else []) -%}
    {%- set type = type | lower -%}
    {%- if modules.re.match('(text|string|varchar|character)', type) -%}
        {%- do types.append('text') -%}
    {%- elif modules.re.search('int(eger|[0-9]+)?$', type) -%}
        {%- do types.append('integer') -%}
    {%- else -%}
        {%- do types.append(type) -%}
    {%- endif -%}
{%- endfor -%}
{{ return(types) }}
{%- endmacro %}

{% macro default__types_of(relation, names) -%}
{%- set query = 'select ' ~ names | join(', ') ~ ' from ' ~ relation ~ ' where false' -%}
{{ return(adapter.get_column_schema_from_query(query) | map(attribute='data_type') | list) }}
{%- endmacro %}

{#- dbt-postgres warns of every type that it has no word for, such as uuid. -#}
{% macro postgres__types_of(relation, names) -%}
{%- set asked = [] -%}
{%- for name in names -%}
    {%- do asked.append('cast(pg_typeof((select ' ~ name ~ ' from ' ~ relation ~ ' limit 1)) as text)') -%}
{%- endfor -%}
{{ return(run_query('select ' ~ asked | join(', ')).rows[0].values() | list) }}
{%- endmacro %}
