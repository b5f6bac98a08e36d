{% macro cents(column) %}{{ return(adapter.dispatch('cents', 'shop')(column)) }}{% endmacro %}
{% macro default__cents(column) %}{{ rounded(column ~ ' * 100') }}{% endmacro %}
{% macro duckdb__cents(column) %}cast({{ column }} * 100 as integer){% endmacro %}
{% macro rounded(expression) %}round({{ expression }}){% endmacro %}
{% macro newest(relation) %}(select max(paid_at) from {{ relation }}){% endmacro %}
{% macro sample() %}where customer_id < 1000{% endmacro %}
{% macro default__dateadd(datepart, interval, from_date_or_timestamp) %}{{ from_date_or_timestamp }} + interval '{{ interval }} {{ datepart }}'{% endmacro %}
{% macro unused() %}1{% endmacro %}
