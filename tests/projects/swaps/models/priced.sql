{{ config(materialized='view') }}

select amounts.customer, amounts.at, prices.price
from {{ ref('amounts') }} as amounts
left join {{ ref('prices') }} as prices on amounts.customer = prices.customer
