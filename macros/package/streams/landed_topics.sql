{#- Walks over a list that grows, since a macro that calls itself would visit a node once for each path to it. -#}
{% macro landed_topics(unique_id) -%}
{%- set waiting, met, topics = [unique_id], {unique_id: true}, {} -%}
{%- for each in waiting -%}
    {%- if each in graph.sources -%}
        {%- set landed = feature_sync.landed(graph.sources[each]) -%}
        {%- if landed is not none -%}{%- do topics.update({landed.topic: true}) -%}{%- endif -%}
    {%- elif each in graph.nodes -%}
        {%- for parent in graph.nodes[each].depends_on.nodes if parent not in met -%}
            {%- do met.update({parent: true}) -%}
            {%- do waiting.append(parent) -%}
        {%- endfor -%}
    {%- endif -%}
{%- endfor -%}
{{ return(topics | list | sort) }}
{%- endmacro %}
