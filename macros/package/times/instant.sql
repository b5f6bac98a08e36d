{#- Read here, not by the warehouse, so that the session's time zone has no effect. -#}
{% macro instant(moment, named=none) -%}
{%- set written = moment | string | trim -%}
{%- if not modules.re.match('^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?$', written) -%}
    {{ exceptions.raise_compiler_error((named ~ ": " if named else "") ~ "'" ~ written ~ "' is not a moment; write one such as 2024-03-05T12:00:00Z") }}
{%- endif -%}
{%- set read = modules.datetime.datetime.fromisoformat(written.replace('Z', '+00:00')) -%}
{%- if read.tzinfo is none -%}
    {%- set read = modules.pytz.utc.localize(read) -%}
{%- endif -%}
{%- set text = read.astimezone(modules.pytz.utc).strftime('%Y-%m-%d %H:%M:%S.%f+00:00') -%}
{{ adapter.dispatch('instant', 'feature_sync')(text) }}
{%- endmacro %}

{% macro default__instant(text) -%}
cast('{{ text }}' as timestamp with time zone)
{%- endmacro %}

{% macro bigquery__instant(text) -%}
timestamp '{{ text }}'
{%- endmacro %}

{% macro spark__instant(text) -%}
timestamp_ltz '{{ text }}'
{%- endmacro %}
