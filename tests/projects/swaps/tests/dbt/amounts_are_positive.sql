-- Waits while somebody holds the lock, and so keeps a build from ending.
select customer from {{ ref('amounts') }}
where (select count(cast(pg_advisory_xact_lock_shared(4712) as text))) = 0 or amount < 0
