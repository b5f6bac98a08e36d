{% set seen_at = "timestamp '2024-01-01 00:00:00+00'" %}
select
    1 as id,
    {{ seen_at }} as seen_at,
    cast('-9223372036854775808' as int64) as whole,
    cast('nan' as float64) as real_number,
    cast('-1234567890123456789.012345678' as numeric) as exact,
    true as flag,
    '' as words,
    from_hex('00ff7d') as raw,
    date '1969-12-31' as day,
    datetime '1969-12-31 23:59:59.999999' as wall_clock,
    timestamp '2024-03-31 01:30:00.000001+01' as instant,
    [1, 2, 3] as numbers,
    [datetime '2024-01-01 00:00:00.000001'] as moments,
    json '{"a": [1, null]}' as document,
    struct(date '2024-02-29' as day, 'é' as word) as pair
union all
select
    2, {{ seen_at }}, 9223372036854775807, 0.1, numeric '1.5', false, 'a|{é}%', from_hex('00ff7d'),
    date '2024-02-29', datetime '2024-01-01 12:00:00', timestamp '2024-01-01 12:00:00+00', [2],
    [datetime '2024-01-01 00:00:00'], json '[]', struct(date '2024-03-01', '')
union all
select
    3, {{ seen_at }}, null, cast('-inf' as float64), null, null, null, null, null, null, null, [], [], null, null
