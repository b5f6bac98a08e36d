{{ config(materialized='ephemeral') }}
select customer_id, sum(amount) as amount, max(paid_at) as paid_at from {{ ref('staged') }}
{% if target.type == 'postgres' %}{{ sample() }}{% endif %}
group by customer_id
