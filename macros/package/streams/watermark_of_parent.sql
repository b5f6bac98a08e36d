{#- With `--defer` dbt may read the parent elsewhere; then its watermark stands there as well. -#}
{% macro watermark_of_parent(node) -%}
{%- set own = api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias) -%}
{%- set elsewhere = node.get('defer_relation') -%}
{%- if elsewhere and (flags.FAVOR_STATE or load_relation(own) is none) -%}
    {%- set own = api.Relation.create(
        database=elsewhere.database, schema=elsewhere.schema, identifier=elsewhere.alias or elsewhere.identifier
    ) -%}
{%- endif -%}
{%- set watermark = feature_sync.watermark_relation(own) -%}
{%- if load_relation(watermark) is none -%}
(select '' as state, '' as topic, 0 as topic_partition, 0 as next_offset) as never_built
{%- else -%}
{{ watermark }}
{%- endif -%}
{%- endmacro %}
