{#-
    A row that says only that its entity was deleted is dropped: the row before it already ends at that moment. So is a row
    that ended as it began, which never answers. Rows older than dbt's `hard_deletes` do not say whether they were deleted.
-#}
{% macro as_feature_view(
    snapshot, keys, features,
    valid_from='dbt_valid_from', valid_to='dbt_valid_to', valid_to_current=none, is_deleted=none
) -%}
{%- set until = valid_to if valid_to_current is none else 'nullif(' ~ valid_to ~ ', ' ~ valid_to_current ~ ')' -%}
select
    {%- for column in ([keys] if keys is string else keys) + features %}
    {{ column }},
    {%- endfor %}
    {{ valid_from }} as valid_from,
    {{ until }} as valid_to
from {{ snapshot }}
where
    ({{ valid_to }} is null or {{ valid_to }} > {{ valid_from }})
    {%- if is_deleted is not none %}
    and coalesce({{ is_deleted }}, 'False') <> 'True'
    {%- endif %}
{%- endmacro %}
