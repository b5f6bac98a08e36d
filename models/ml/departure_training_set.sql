-- The training set of departure_delay_model, asked by departures; written by feature-sync sql --refs.
-- Do not edit it: change the definitions, and write it again.
WITH "spine" AS (
  /* The moments to answer. */
  SELECT
    "flight_id",
    "carrier",
    "tailnum",
    "origin",
    "dest",
    "scheduled_departure",
    "asked_at",
    "is_late",
    "asked_at" AS "_asked_at"
  FROM {{ ref('departures') }}
), "carrier_delays_rows" AS (
  /* carrier_delays.v2: rows that can answer; one for each entity and event timestamp. */
  SELECT
    "carrier",
    "mean_delay_6h",
    "late_share_24h",
    "flights_24h",
    "hour_end" AS "_event_timestamp",
    "hour_end" AS "_available_at"
  FROM {{ ref('carrier_delays', v=2) }}
  WHERE
    "carrier" IS NOT NULL AND "hour_end" IS NOT NULL
), "aircraft_history_rows" AS (
  /* aircraft_history: rows that can answer; one for each entity and event timestamp. */
  SELECT
    "tailnum",
    "last_arrival_delay",
    "flights_7d",
    "landed_at" AS "_event_timestamp",
    "landed_at" AS "_available_at"
  FROM {{ ref('aircraft_history') }}
  WHERE
    "tailnum" IS NOT NULL AND "landed_at" IS NOT NULL
), "aircraft_profile_rows" AS (
  /* aircraft_profile: facts that answer any moment. */
  SELECT
    "tailnum",
    "year",
    "seats",
    "engines",
    "manufacturer",
    ROW_NUMBER() OVER (
      PARTITION BY "tailnum"
      ORDER BY "year" DESC NULLS LAST, "seats" DESC NULLS LAST, "engines" DESC NULLS LAST, CAST("manufacturer" AS TEXT) COLLATE "C" DESC NULLS LAST
    ) AS "_newness"
  FROM {{ ref('aircraft_profile') }}
  WHERE
    "tailnum" IS NOT NULL
), "origin_weather_rows" AS (
  /* airport_weather: rows that can answer; one for each entity and event timestamp. */
  SELECT
    "airport",
    "wind_speed",
    "visib",
    "precip",
    "pressure",
    "observed_at" AS "_event_timestamp",
    "observed_at" + INTERVAL '1' HOUR AS "_available_at"
  FROM {{ ref('airport_weather') }}
  WHERE
    "airport" IS NOT NULL AND "observed_at" IS NOT NULL
)
SELECT
  "spine"."flight_id",
  "spine"."carrier",
  "spine"."tailnum",
  "spine"."origin",
  "spine"."dest",
  "spine"."scheduled_departure",
  "spine"."asked_at",
  "spine"."is_late",
  CASE
    WHEN "carrier_delays_rows"."_event_timestamp" >= "spine"."_asked_at" - INTERVAL '3' HOUR
    THEN "carrier_delays_rows"."mean_delay_6h"
  END AS "mean_delay_6h",
  CASE
    WHEN "carrier_delays_rows"."_event_timestamp" >= "spine"."_asked_at" - INTERVAL '3' HOUR
    THEN "carrier_delays_rows"."late_share_24h"
  END AS "late_share_24h",
  CASE
    WHEN "carrier_delays_rows"."_event_timestamp" >= "spine"."_asked_at" - INTERVAL '3' HOUR
    THEN "carrier_delays_rows"."flights_24h"
    ELSE CAST(0 AS INT)
  END AS "flights_24h",
  CASE
    WHEN "aircraft_history_rows"."_event_timestamp" >= "spine"."_asked_at" - INTERVAL '30' DAY
    THEN "aircraft_history_rows"."last_arrival_delay"
  END AS "last_arrival_delay",
  CASE
    WHEN "aircraft_history_rows"."_event_timestamp" >= "spine"."_asked_at" - INTERVAL '30' DAY
    THEN "aircraft_history_rows"."flights_7d"
  END AS "flights_7d",
  "aircraft_profile_rows"."year",
  "aircraft_profile_rows"."seats",
  "aircraft_profile_rows"."engines",
  "aircraft_profile_rows"."manufacturer",
  CASE
    WHEN "origin_weather_rows"."_event_timestamp" >= "spine"."_asked_at" - INTERVAL '6' HOUR
    THEN "origin_weather_rows"."wind_speed"
  END AS "wind_speed",
  CASE
    WHEN "origin_weather_rows"."_event_timestamp" >= "spine"."_asked_at" - INTERVAL '6' HOUR
    THEN "origin_weather_rows"."visib"
  END AS "visib",
  CASE
    WHEN "origin_weather_rows"."_event_timestamp" >= "spine"."_asked_at" - INTERVAL '6' HOUR
    THEN "origin_weather_rows"."precip"
  END AS "precip",
  CASE
    WHEN "origin_weather_rows"."_event_timestamp" >= "spine"."_asked_at" - INTERVAL '6' HOUR
    THEN "origin_weather_rows"."pressure"
  END AS "pressure"
FROM "spine"
ASOF LEFT JOIN "carrier_delays_rows"
  ON "spine"."carrier" = "carrier_delays_rows"."carrier"
  AND "spine"."_asked_at" >= "carrier_delays_rows"."_available_at"
ASOF LEFT JOIN "aircraft_history_rows"
  ON "spine"."tailnum" = "aircraft_history_rows"."tailnum"
  AND "spine"."_asked_at" >= "aircraft_history_rows"."_available_at"
LEFT JOIN "aircraft_profile_rows"
  ON "spine"."tailnum" = "aircraft_profile_rows"."tailnum"
  AND "aircraft_profile_rows"."_newness" = 1
  AND "spine"."_asked_at" IS NOT NULL
ASOF LEFT JOIN "origin_weather_rows"
  ON "spine"."origin" = "origin_weather_rows"."airport"
  AND "spine"."_asked_at" >= "origin_weather_rows"."_available_at"
