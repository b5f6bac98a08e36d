{{ config(materialized='table') -}}

select scooter_id, measured_at, battery, zone
from {{ ref('stg_positions') }}
