{% test has_happened(model, column_name, tolerance='0s') %}

select {{ column_name }}
from {{ model }}
where
    {{ column_name }} is null
    or {{ feature_sync.microseconds(column_name, infinite=true) }}
    > {{ feature_sync.microseconds(feature_sync.clock()) }} + {{ feature_sync.seconds_in(tolerance) * 1000000 }}

{% endtest %}
