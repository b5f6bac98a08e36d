select 1 as question, 'attic' as sensor, timestamp '2024-01-01 12:30:00' as asked_at
union all
select 2, 'attic', timestamp '2024-01-01 16:00:00'
union all
select 3, 'cellar', timestamp '2024-01-01 12:30:00'
union all
select 4, 'roof', timestamp '2024-01-01 12:30:00'
