select 1 as id, timestamp '2024-01-02 00:00:00' as asked_at
union all
select 2, timestamp '2024-01-02 00:00:00'
union all
select 3, timestamp '2024-01-02 00:00:00'
union all
select 4, timestamp '2024-01-02 00:00:00'
