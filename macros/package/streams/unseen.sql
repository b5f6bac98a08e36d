{#-
    The rows that an incremental model has yet to read: not those after the newest offset that it holds, since a hole before it
    may have been filled. Rows beyond a hole come again, so give the model a unique key.
-#}
{% macro unseen(topic, partition='topic_partition', offset='topic_offset') -%}
{%- if not is_incremental() or load_relation(feature_sync.watermark_relation(this)) is none -%}
true
{%- else -%}
{{ offset }} >= coalesce(
    (
        select max(seen.up_to)
        from (
            select topic_partition as of_partition, next_offset as up_to
            from {{ feature_sync.watermark_relation(this) }}
            where state = 'valid' and topic = {{ dbt.string_literal(dbt.escape_single_quotes(topic)) }}
        ) as seen
        where seen.of_partition = {{ partition }}
    ),
    0
)
{%- endif -%}
{%- endmacro %}
