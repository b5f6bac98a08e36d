{#-
    The types are read when the test runs: a join of text with a number fails, or is slow, or finds nothing. Where dbt's
    `where` makes a sub-query of the model, there are none to read; what does not exist the warehouse names itself.
-#}
{% test is_key_of(model, to, column_name=none, field=none, columns=none, fields=none) %}

{%- set here = columns or [column_name] -%}
{%- set there = fields or ([field] if field is not none else here) -%}
{%- if here | length != there | length -%}
    {{ exceptions.raise_compiler_error('is_key_of compares ' ~ here ~ ' with ' ~ there ~ ': name as many fields as columns') }}
{%- endif -%}
{%- set kinds = [[], []] if model is string else [feature_sync.types_of(model, here), feature_sync.types_of(to, there)] -%}
{%- set differing = [] -%}
{%- for each in here -%}
    {%- set pair = (kinds[0][loop.index0], kinds[1][loop.index0]) -%}
    {%- if pair[0] != pair[1] and 'unknown' not in pair -%}
        {%- do differing.append(each ~ ' is ' ~ pair[0] ~ ', but ' ~ there[loop.index0] ~ ' of ' ~ to.identifier ~ ' is ' ~ pair[1]) -%}
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
