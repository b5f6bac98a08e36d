{#-
    Two watermarks, both read off the table as it stands, tell what a build has to recompute: buckets of rows that were
    loaded since, late ones too, and buckets that were not over before. A bucket that is not over is not shown: its row
    would be stamped with a moment whose facts it cannot hold yet. A row that was loaded later than the clock tells is not
    known yet.
-#}
{% macro bucketed(
    relation, by, event_time, bucket, aggregates, closed=none, loaded_at=none, lookback=none, end_name='bucket_end'
) -%}
{{- feature_sync.checked_closed(closed, 'bucketed') -}}
{%- set keys = [by] if by is string else by -%}
{%- set incremental = config.get('materialized') == 'incremental' -%}
{%- set unique_key = config.get('unique_key') -%}
{%- set unique_key = [unique_key] if unique_key is string else (unique_key or []) -%}
{%- if incremental and execute and unique_key | sort != (keys + [end_name]) | sort -%}
    {{ exceptions.raise_compiler_error(
        "an incremental model of bucketed replaces whole buckets: say unique_key=" ~ (keys + [end_name])
        ~ " in its config, not " ~ unique_key
    ) }}
{%- endif -%}
{%- set strategy = config.get('incremental_strategy') -%}
{#- dbt-spark appends unless it is told otherwise. -#}
{%- set replacing = ['merge'] if target.type == 'spark' else [none, 'default', 'delete+insert', 'merge'] -%}
{%- if incremental and execute and strategy not in replacing -%}
    {{ exceptions.raise_compiler_error(
        "an incremental model of bucketed replaces single buckets, which incremental_strategy='" ~ (strategy or 'append')
        ~ "' does not: say " ~ ("'merge', with file_format='delta', 'iceberg' or 'hudi'" if target.type == 'spark' else "'delete+insert' or 'merge', or leave it out")
    ) }}
{%- endif -%}
{%- if incremental and loaded_at is none and lookback is none -%}
    {{ exceptions.raise_compiler_error(
        "bucketed has to know which buckets may have changed: say loaded_at='the column that tells when a row was written', or "
        ~ "lookback='how long after its end a bucket may still get rows'"
    ) }}
{%- endif -%}
{%- set is_update = is_incremental() -%}
with events as (
    select
        *,
        {{ feature_sync.bucket_end(event_time, bucket, closed) }} as feature_sync_bucket_end
    from {{ relation }}
    where
        {{ event_time }} is not null
        {%- for key in keys %}
        and {{ key }} is not null
        {%- endfor %}
),

finished as (
    select *
    from events
    where
        {{ feature_sync.microseconds('feature_sync_bucket_end') }} <= {{ feature_sync.microseconds(feature_sync.clock()) }}
        {%- if loaded_at is not none %}
        and {{ feature_sync.microseconds(loaded_at) }} <= {{ feature_sync.microseconds(feature_sync.clock()) }}
        {%- endif %}
)
{%- if is_update %},

watermarks as (
    select
        max({{ end_name }}) as last_end
        {%- if loaded_at is not none %},
        max(last_loaded_at) as last_loaded_at
        {%- endif %}
    from {{ this }}
),

touched as (
    select distinct
        {%- for key in keys %}
        finished.{{ key }},
        {%- endfor %}
        finished.feature_sync_bucket_end
    from finished
    cross join watermarks
    where
        watermarks.last_end is null
        {%- if loaded_at is none %}
        or finished.feature_sync_bucket_end > {{ feature_sync.earlier('watermarks.last_end', lookback) }}
        {%- else %}
        or finished.feature_sync_bucket_end > watermarks.last_end
        or finished.{{ loaded_at }} >= {{ feature_sync.earlier('watermarks.last_loaded_at', lookback or '0s') }}
        {%- endif %}
)
{%- endif %}

select
    {%- for key in keys %}
    finished.{{ key }},
    {%- endfor %}
    finished.feature_sync_bucket_end as {{ end_name }}
    {%- for name, value in aggregates.items() %},
    {{ value }} as {{ name }}
    {%- endfor %}
    {%- if loaded_at is not none %},
    max(finished.{{ loaded_at }}) as last_loaded_at
    {%- endif %}
from finished
{%- if is_update %}
where exists (
    select 1
    from touched
    where
        {%- for key in keys %}
        finished.{{ key }} = touched.{{ key }} and
        {%- endfor %}
        finished.feature_sync_bucket_end = touched.feature_sync_bucket_end
)
{%- endif %}
group by
    {%- for key in keys %}
    finished.{{ key }},
    {%- endfor %}
    finished.feature_sync_bucket_end
{%- endmacro %}
