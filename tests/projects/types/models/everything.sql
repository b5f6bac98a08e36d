{% set hex = "decode('00ff7d', 'hex')" if target.type == 'postgres' else "unhex('00ff7d')" %}
{% set day = "timestamp '2024-01-01 00:00:00'" %}
with typed as (
select
    1 as id,
    {{ day }} as seen_at,
    cast('-9223372036854775808' as bigint) as whole,
    cast('nan' as double precision) as real_number,
    cast('-12345678901234567890123456.7890123456' as decimal(38, 10)) as exact,
    true as flag,
    cast('' as text) as words,
    {{ hex }} as raw,
    cast('1969-12-31' as date) as day,
    cast('1969-12-31 23:59:59.999999' as timestamp) as wall_clock,
    cast('2024-03-31 01:30:00.000001+01' as timestamp with time zone) as instant,
    array[1, null, 3] as numbers,
    array[cast('2024-01-01 00:00:00.000001' as timestamp)] as moments,
    cast('{"a": [1, null]}' as json) as document,
    cast('C2C5E0AA-9E43-4F52-9C5E-0B1E3D8A7F10' as uuid) as token
union all
select
    2, {{ day }}, cast('9223372036854775807' as bigint), cast('-0.0' as double precision), cast('1.5' as decimal(38, 10)),
    false, cast('a|{é}%' as text), {{ hex }}, cast('2024-02-29' as date), cast('2024-01-01 12:00:00' as timestamp),
    cast('2024-01-01 12:00:00+00' as timestamp with time zone), array[2], array[cast('2024-01-01' as timestamp)],
    cast('[]' as json), cast('00000000-0000-0000-0000-000000000000' as uuid)
union all
select
    3, {{ day }}, null, cast('-infinity' as double precision), null, null, null, null, null, null, null, null, null, null, null
)

-- PostgreSQL's union forgets a decimal's precision.
select
    id, seen_at, whole, real_number, cast(exact as decimal(38, 10)) as exact, flag, words, raw, day, wall_clock, instant,
    numbers, moments, document, token
from typed
