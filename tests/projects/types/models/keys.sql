select
    cast('a|b' as text) as name,
    cast('2024-02-29' as date) as day,
    cast('10.500' as decimal(10, 3)) as price,
    cast('C2C5E0AA-9E43-4F52-9C5E-0B1E3D8A7F10' as uuid) as token,
    true as flag,
    cast('2024-01-01 00:00:00.000001' as timestamp) as moment,
    42 as answer
union all
select
    cast('' as text), cast('2024-02-29' as date), cast('0.000' as decimal(10, 3)),
    cast('00000000-0000-0000-0000-000000000000' as uuid), false, cast('1970-01-01' as timestamp), 43
union all
select
    null, cast('2024-02-29' as date), cast('0.000' as decimal(10, 3)),
    cast('00000000-0000-0000-0000-000000000000' as uuid), false, cast('1970-01-01' as timestamp), 44
