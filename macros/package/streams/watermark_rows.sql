{#- A partition counts only if every parent of the topic has seen some of it: no row means that it was seen from nowhere. -#}
{% macro watermark_rows(parents) -%}
{%- set topics = parents | map(attribute='topics') | sum(start=[]) | unique | sort -%}
{%- for topic in topics %}
{%- set of_topic = [] -%}
{%- for parent in parents if topic in parent.topics -%}{%- do of_topic.append(parent) -%}{%- endfor %}
select topic, topic_partition, min(next_offset) as next_offset
from (
    {%- for parent in of_topic %}
    {%- if parent.landed is not none %}
    {{ feature_sync.consumed_prefix(parent.node, parent.landed) | indent(4) }}
    {%- else %}
    select topic, topic_partition, next_offset
    from {{ feature_sync.watermark_of_parent(parent.node) }}
    where state = 'valid' and topic = {{ dbt.string_literal(dbt.escape_single_quotes(topic)) }}
    {%- endif %}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
) as parents
group by topic, topic_partition
having count(*) = {{ of_topic | length }}
{{ 'union all' if not loop.last }}
{%- endfor %}
{%- endmacro %}
