select zone from {{ source('landing', 'zones') }}
