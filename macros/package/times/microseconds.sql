{#-
    A number is the same whatever type the timestamp has and whatever the session's time zone is. Infinity, which DuckDB and
    PostgreSQL know, has none: nine quintillion stands for it, some 285,000 years from now.
-#}
{% macro microseconds(timestamp, infinite=false) -%}
{{ adapter.dispatch('microseconds', 'feature_sync')(timestamp, infinite) }}
{%- endmacro %}

{% macro default__microseconds(timestamp, infinite) -%}
{{ feature_sync.unsupported('microseconds') }}
{%- endmacro %}

{#- Without this, dbt gives Redshift the PostgreSQL macro, whose SQL Redshift does not parse. -#}
{% macro redshift__microseconds(timestamp, infinite) -%}
{{ feature_sync.default__microseconds(timestamp, infinite) }}
{%- endmacro %}

{% macro postgres__microseconds(timestamp, infinite) -%}
{%- if infinite -%}
case
        when {{ timestamp }} = 'infinity' then 9000000000000000000
        when {{ timestamp }} = '-infinity' then -9000000000000000000
        else {{ feature_sync.microseconds(timestamp) }}
    end
{%- else -%}
cast(extract(epoch from {{ timestamp }}) * 1000000 as bigint)
{%- endif -%}
{%- endmacro %}

{% macro duckdb__microseconds(timestamp, infinite) -%}
{%- if infinite -%}
{{ feature_sync.postgres__microseconds(timestamp, infinite) }}
{%- else -%}
epoch_us({{ timestamp }})
{%- endif -%}
{%- endmacro %}

{% macro bigquery__microseconds(timestamp, infinite) -%}
unix_micros(cast({{ timestamp }} as timestamp))
{%- endmacro %}

{#- What a TIMESTAMP_NTZ shows is read by the session's time zone, which therefore is to be UTC. -#}
{% macro spark__microseconds(timestamp, infinite) -%}
unix_micros(cast({{ timestamp }} as timestamp_ltz))
{%- endmacro %}
