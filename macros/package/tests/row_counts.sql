{#- A build of empty tables, or of a sample, is not a build to compare with. -#}
{% macro row_counts(relations) -%}
{%- for relation in relations %}
select
    '{{ relation.schema }}.{{ relation.identifier }}' as name,
    count(*) as number_of_rows,
    {{ adapter.dispatch('now', 'feature_sync')() }} as counted_at
from {{ relation }}
having {{ 'false' if flags.EMPTY or invocation_args_dict.get('sample') else 'true' }}
{{ 'union all' if not loop.last }}
{%- endfor %}
{%- endmacro %}
