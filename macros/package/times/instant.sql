{#- Read here, not by the warehouse, so that the session's time zone has no say. -#}
{% macro instant(moment) -%}
{%- set read = modules.datetime.datetime.fromisoformat((moment | string).replace('Z', '+00:00')) -%}
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
