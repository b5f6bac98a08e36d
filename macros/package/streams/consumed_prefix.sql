{#-
    The first offset that is missing. Where the writer keeps the ranges of offsets that it has read, these are chained;
    otherwise each row is a range of its own. Offsets that a topic lacks for good (compaction, transactions) are inside a
    range, but between rows they look like rows that have yet to land.
-#}
{% macro consumed_prefix(source_node, landed) -%}
{%- set rows = source(source_node.source_name, source_node.name) -%}
{%- set counts_rows = landed.ranges in (false, none, 'false', 'none') -%}
{%- set ranges = rows if counts_rows else api.Relation.create(
    database=source_node.database, schema=source_node.schema, identifier=landed.ranges
) -%}
{%- set name = dbt.string_literal(dbt.escape_single_quotes(landed.topic)) -%}
{%- set partition = adapter.quote(landed.partition) if counts_rows else 'topic_partition' -%}
{%- set first_offset = adapter.quote(landed.offset) if counts_rows else 'first_offset' -%}
{%- set topic_column = (adapter.quote(landed.topic_column) if landed.topic_column else none) if counts_rows else 'topic' -%}
select
    topic,
    topic_partition,
    coalesce(min(case when first_offset > reached then reached end), max(next_offset)) as next_offset
from (
    select
        topic,
        topic_partition,
        first_offset,
        next_offset,
        {% if landed.begins_at == 'first_row' -%}
        coalesce({{ feature_sync.reached_before() }}, first_offset) as reached
        {%- else -%}
        greatest(coalesce({{ feature_sync.reached_before() }}, {{ landed.begins_at }}), {{ landed.begins_at }}) as reached
        {%- endif %}
    from (
        select
            {{ name }} as topic,
            cast({{ partition }} as {{ dbt.type_bigint() }}) as topic_partition,
            cast({{ first_offset }} as {{ dbt.type_bigint() }}) as first_offset,
            cast({{ first_offset ~ ' + 1' if counts_rows else 'next_offset' }} as {{ dbt.type_bigint() }}) as next_offset
        from {{ ranges }}
        {%- if topic_column is not none %}
        where {{ topic_column }} = {{ name }}
        {%- endif %}
    ) as consumed
) as chained
group by topic, topic_partition
{%- endmacro %}
