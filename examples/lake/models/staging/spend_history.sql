-- A source is read anew for each model that names it, so one model does, and others refer to that.
select * from {{ source('lake', 'spend_versions') }}
