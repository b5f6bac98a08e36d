{#-
    Views and ephemeral models read when the model does, so their own parents count. A parent that keeps rows must have
    noted what they have seen: without its hooks nobody knows.
-#}
{% macro watermark_parents(node) -%}
{%- set waiting, met, parents = [], {}, [] -%}
{%- do waiting.extend(node.depends_on.nodes) -%}
{%- for each in waiting if each not in met -%}
    {%- do met.update({each: true}) -%}
    {%- if each in graph.sources -%}
        {%- set landed = feature_sync.landed(graph.sources[each]) -%}
        {%- if landed is not none -%}
            {%- do parents.append({'node': graph.sources[each], 'landed': landed, 'topics': [landed.topic]}) -%}
        {%- endif -%}
    {%- elif each in graph.nodes -%}
        {%- set parent = graph.nodes[each] -%}
        {%- set topics = feature_sync.landed_topics(each) -%}
        {%- if parent.config.materialized in ('view', 'ephemeral') -%}
            {%- do waiting.extend(parent.depends_on.nodes) -%}
        {%- elif topics -%}
            {%- if 'watermark' not in parent.config.get('pre-hook', []) | map(attribute='sql') | join -%}
                {{ exceptions.raise_compiler_error(
                    parent.name ~ " lies between the topic " ~ topics | join(', ') ~ " and " ~ node.name ~ ", and does not keep its "
                    ~ "watermark: give " ~ parent.original_file_path ~ " the hooks feature_sync.watermark('before') and "
                    ~ "feature_sync.watermark('after'), best for the whole folder in dbt_project.yml"
                ) }}
            {%- endif -%}
            {%- do parents.append({'node': parent, 'landed': none, 'topics': topics}) -%}
        {%- endif -%}
    {%- endif -%}
{%- endfor -%}
{{ return(parents) }}
{%- endmacro %}
