{{ config(materialized='table', indexes=[{'columns': ['meter', 'read_at']}]) }}
select meter, read_at, loaded_at, kwh, note from {{ ref('readings') }}
