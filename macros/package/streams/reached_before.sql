{% macro reached_before() -%}
max(next_offset) over (
            partition by topic, topic_partition
            order by first_offset, next_offset
            rows between unbounded preceding and 1 preceding
        )
{%- endmacro %}
