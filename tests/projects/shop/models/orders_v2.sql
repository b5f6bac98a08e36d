select customer, ordered_at, note, amount from {{ source('raw', 'orders') }}
