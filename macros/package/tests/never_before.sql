{% test never_before(model, column_name, earlier, tolerance='0s') %}

select
    {{ earlier }},
    {{ column_name }}
from {{ model }}
where
    {{ feature_sync.microseconds(column_name, infinite=true) }}
    < {{ feature_sync.microseconds(earlier, infinite=true) }} - {{ feature_sync.seconds_in(tolerance) * 1000000 }}

{% endtest %}
