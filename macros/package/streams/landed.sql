{#- What a source says in `config.meta.landed`, with defaults; none if it is no landed topic. -#}
{% macro landed(source_node) -%}
{%- set given = (source_node.config.meta or source_node.meta or {}).get('landed') -%}
{%- if given is none -%}{{ return(none) }}{%- endif -%}
{%- set place = 'source ' ~ source_node.source_name ~ '.' ~ source_node.name ~ ', config.meta.landed' -%}
{%- if given is not mapping or not given.get('topic') -%}
    {{ exceptions.raise_compiler_error(place ~ ": topic is missing; write landed: {topic: NAME}") }}
{%- endif -%}
{%- set settings = {
    'ranges': source_node.identifier ~ '__ranges',
    'begins_at': 0,
    'topic_column': 'topic',
    'partition': 'topic_partition',
    'offset': 'topic_offset',
} -%}
{%- for key, value in given.items() -%}
    {%- if key not in settings and key != 'topic' -%}
        {{ exceptions.raise_compiler_error(place ~ ": unknown key " ~ key ~ "; keys are topic, " ~ settings | join(', ')) }}
    {%- endif -%}
    {%- do settings.update({key: value}) -%}
{%- endfor -%}
{%- if settings.begins_at is not number and settings.begins_at != 'first_row' -%}
    {{ exceptions.raise_compiler_error(place ~ ".begins_at is an offset or first_row, not " ~ settings.begins_at) }}
{%- endif -%}
{{ return(settings) }}
{%- endmacro %}
