{#- The types are read when the test runs: a join of text with a number fails, or is slow, or finds nothing. -#}
{% test is_key_of(model, to, column_name=none, field=none, columns=none, fields=none) %}

{%- set here = columns or column_name -%}
{%- if not here -%}
    {{ exceptions.raise_compiler_error('is_key_of needs to know which columns are the key: say columns') }}
{%- endif -%}
{%- set here = [here] if here is string else here -%}
{%- set there = fields or field or here -%}
{%- set there = [there] if there is string else there -%}
{%- if here | length != there | length -%}
    {{ exceptions.raise_compiler_error('is_key_of compares ' ~ here ~ ' with ' ~ there ~ ': name as many fields as columns') }}
{%- endif -%}
{%- set types_there = feature_sync.types_of(to, there) -%}
{%- set differing = [] -%}
{%- for type in feature_sync.types_of(model, here) -%}
    {%- set name, type_there = there[loop.index0], types_there[loop.index0] -%}
    {%- if type != type_there -%}
        {%- do differing.append(here[loop.index0] ~ ' is ' ~ type ~ ', but ' ~ name ~ ' of ' ~ to.identifier ~ ' is ' ~ type_there) -%}
    {%- endif -%}
{%- endfor -%}
{%- if differing %}

select '{{ differing | join('; ') | replace("'", "''") }}' as problem
{%- else %}

with keys as (
    select distinct {{ here | join(', ') }}
    from {{ model }}
    where {{ here | join(' is not null and ') }} is not null
),

records as (
    select distinct {{ there | join(', ') }}
    from {{ to }}
)

select
    {%- for each in here %}
    keys.{{ each }}{{ ',' if not loop.last }}
    {%- endfor %}
from keys
left join records
    on
        {%- for each in here %}
        keys.{{ each }} = records.{{ there[loop.index0] }}{{ ' and' if not loop.last }}
        {%- endfor %}
where records.{{ there[0] }} is null
{%- endif %}

{% endtest %}
