{#-
    A row from the future is no news: whoever has nothing else is not fresh.
    What dbt counts as results are the entities that are not fresh; 1 where there is none at all.
-#}
{% test entities_are_fresh(model, column_name, by, within, share=1.0) %}

{{- config(fail_calc='coalesce(sum(greatest(entities - fresh_entities, 1)), 0)') }}
{{- feature_sync.checked_share(share, 'the share of entities_are_fresh') }}
{%- set keys = [by] if by is string else by %}

with newest as (
    select
        {{ keys | join(', ') }},
        max(
            case
                when {{ feature_sync.microseconds(column_name, infinite=true) }} <= {{ feature_sync.microseconds(feature_sync.clock()) }}
                    then {{ column_name }}
            end
        ) as newest_row
    from {{ model }}
    where {{ keys | join(' is not null and ') }} is not null
    group by {{ keys | join(', ') }}
),

counted as (
    select
        count(*) as entities,
        count(
            case
                when {{ feature_sync.microseconds('newest_row') }}
                    >= {{ feature_sync.microseconds(feature_sync.clock()) }} - {{ feature_sync.seconds_in(within) * 1000000 }}
                    then 1
            end
        ) as fresh_entities,
        max(newest_row) as newest_row_of_all
    from newest
)

select
    entities,
    fresh_entities,
    {{ share }} as share_expected,
    newest_row_of_all
from counted
where
    fresh_entities < {{ share }} * entities
    or entities = 0

{% endtest %}
