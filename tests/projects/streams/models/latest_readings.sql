-- a reading whose note is `deleted` ends its meter, until a newer one
select meter, read_at, loaded_at, kwh, note
from {{ ref('readings') }} as readings
where
    note <> 'deleted'
    and not exists (
        select 1
        from {{ ref('readings') }} as deleted
        where deleted.meter = readings.meter and deleted.note = 'deleted' and deleted.read_at >= readings.read_at
    )
