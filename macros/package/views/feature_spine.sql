{#- The hash is the one by which `feature-sync extract --sample` chooses, so both choose the same questions. -#}
{% macro feature_spine(
    relation, keys, event_time, columns=[], ahead='0s', asked_at='asked_at',
    share=none, at_most=none, since=none, until=none, where=none
) -%}
{%- set keys = [keys] if keys is string else keys -%}
{%- if share is not none -%}
    {{- feature_sync.checked_share(share, 'the share of feature_spine') -}}
{%- endif -%}
with questions as (
    select
        {%- for column in keys + columns %}
        {{ column }},
        {%- endfor %}
        {{ feature_sync.earlier(event_time, ahead) if ahead != '0s' else event_time }} as {{ asked_at }}
    from {{ relation }}
    where
        {{ event_time }} is not null
        {%- for key in keys %}
        and {{ key }} is not null
        {%- endfor %}
        {%- if where is not none %}
        and ({{ where }})
        {%- endif %}
),

drawn as (
    select
        questions.*,
        {{ feature_sync.md5_digits(keys + [feature_sync.microseconds(asked_at)]) }} as feature_spine_lot
    from questions
    where
        {{ asked_at }} is not null
        {%- if since is not none %}
        and {{ feature_sync.microseconds(asked_at) }} >= {{ feature_sync.microseconds(feature_sync.instant(since, 'since')) }}
        {%- endif %}
        {%- if until is not none %}
        and {{ feature_sync.microseconds(asked_at) }} <= {{ feature_sync.microseconds(feature_sync.instant(until, 'until')) }}
        {%- endif %}
)
{%- if at_most is not none %},

ranked as (
    select
        drawn.*,
        row_number() over (partition by {{ keys | join(', ') }} order by feature_spine_lot asc, {{ asked_at }} asc{% if columns %}, {{ feature_sync.md5_digits(columns) }} asc{% endif %}) as feature_spine_place
    from drawn
)
{%- endif %}

select
    {%- for column in keys + columns %}
    {{ column }},
    {%- endfor %}
    {{ asked_at }}
from {{ 'drawn' if at_most is none else 'ranked' }}
{%- if share is not none or at_most is not none %}
where
    {{ 'true' if share is none else "feature_spine_lot <= '" ~ '%08x' % [(share * 4294967296) | round | int, 4294967295] | min ~ "'" }}
    {%- if at_most is not none %}
    and feature_spine_place <= {{ at_most }}
    {%- endif %}
{%- endif %}
{%- endmacro %}
