{#-
    Buckets stand still: they are counted from Monday, 3 January 2000, 00:00 UTC, in every warehouse. A bucket that is
    closed at the right holds its own end, so a moment a microsecond earlier begins the same bucket.
-#}
{% macro bucket_end(timestamp, bucket, closed) -%}
{{- feature_sync.checked_closed(closed, 'bucket_end') }}
{%- set seconds = feature_sync.seconds_in(bucket, least=1) -%}
{{- adapter.dispatch('bucket_end', 'feature_sync')(timestamp, bucket, closed) }}
{%- endmacro %}

{% macro default__bucket_end(timestamp, bucket, closed) -%}
{{ feature_sync.unsupported('bucket_end') }}
{%- endmacro %}

{#- Without this, dbt gives Redshift the PostgreSQL macro, whose SQL Redshift does not parse. -#}
{% macro redshift__bucket_end(timestamp, bucket, closed) -%}
{{ feature_sync.default__bucket_end(timestamp, bucket, closed) }}
{%- endmacro %}

{#- Adding zero turns a date into a timestamp, which the session's time zone would otherwise shift. -#}
{% macro postgres__bucket_end(timestamp, bucket, closed) -%}
{%- set within = timestamp ~ (" + interval '0 seconds'" if closed == 'left' else " - interval '1 microsecond'") -%}
date_bin({{ feature_sync.interval_of(bucket) }}, {{ within }}, '2000-01-03 00:00:00+00') + {{ feature_sync.interval_of(bucket) }}
{%- endmacro %}

{% macro duckdb__bucket_end(timestamp, bucket, closed) -%}
{%- set within = timestamp if closed == 'left' else timestamp ~ " - interval '1 microsecond'" -%}
time_bucket({{ feature_sync.interval_of(bucket) }}, {{ within }}) + {{ feature_sync.interval_of(bucket) }}
{%- endmacro %}

{#- TIMESTAMP_BUCKET says the same, but the emulator does not know it. -#}
{% macro bigquery__bucket_end(timestamp, bucket, closed) -%}
{%- set width = feature_sync.seconds_in(bucket) * 1000000 -%}
{%- set since = '(' ~ feature_sync.microseconds(timestamp) ~ ' - 946857600000000' ~ (' - 1' if closed == 'right' else '') ~ ')' -%}
timestamp_micros(946857600000000 + {{ width }} + {{ since }} - mod(mod({{ since }}, {{ width }}) + {{ width }}, {{ width }}))
{%- endmacro %}

{% macro spark__bucket_end(timestamp, bucket, closed) -%}
{{ feature_sync.bigquery__bucket_end(timestamp, bucket, closed) }}
{%- endmacro %}
