with departures as (
    select
        carrier,
        {{ feature_sync.bucket_end('departed_at', '1h', closed='right') }} as hour_end,
        departed_at,
        departure_delay
    from {{ ref('stg_flights') }}
    where departed_at is not null
),

-- The clock tells which hours are over. The next departure must not: an hour would stay hidden until something happened
-- after it. The example's clock is set back into its data; there the data show by themselves how late it was.
clock as (
    select greatest({{ feature_sync.clock_in_utc() }}, max(departed_at)) as moment
    from departures
),

newest_hour as (
    select {{ feature_sync.earlier(feature_sync.bucket_end('moment', '1h', closed='left'), '1h') }} as hour_end
    from clock
),

spans as (
    select
        departures.carrier,
        newest_hour.hour_end as last_hour,
        min(departures.hour_end) as first_hour
    from departures
    cross join newest_hour
    group by departures.carrier, newest_hour.hour_end
    having min(departures.hour_end) <= newest_hour.hour_end
),

-- Every hour since the carrier's first departure, quiet ones too: an old row must not answer for an empty window.
hours_of_carriers as (
    select
        spans.carrier,
        hour_end
    from spans
    cross join {{ feature_sync.every_hour('spans.first_hour', 'spans.last_hour', 'hour_end') }}
)

select
    hours_of_carriers.carrier,
    hours_of_carriers.hour_end,
    count(departures.departure_delay) as flights,
    sum(departures.departure_delay) as delay,
    sum(case when departures.departure_delay > 0 then departures.departure_delay end) as lateness,
    sum(case when departures.departure_delay > 15 then 1 else 0 end) as late_flights
from hours_of_carriers
left join departures
    on
        hours_of_carriers.carrier = departures.carrier
        and hours_of_carriers.hour_end = departures.hour_end
group by hours_of_carriers.carrier, hours_of_carriers.hour_end
