{{ config(enabled=target.type in ('duckdb', 'postgres')) -}}

select
    cast('infinity' as timestamp) as happened_at,
    cast('-infinity' as timestamp) as created_at,
    timestamp '2024-01-01 10:00:00' as noted_at,
    cast('nan' as double precision) as amount
