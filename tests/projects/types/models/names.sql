select cast('' as text) as name, 1 as length
union all
select cast('{' || '%' || '}' as text), 3
