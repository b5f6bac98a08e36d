{#-
    One window function for each window, so the table is read once and never joined with itself. A window is as long as
    it says: with closed='right' it is (t - window, t], with closed='left' [t - window, t). It never reaches beyond t.
-#}
{% macro rolling(aggregate, column, window, by, order_by, closed=none, name=none, data_type=none) -%}
{{- feature_sync.checked_closed(closed, 'rolling') -}}
{%- set functions = {
    'count': 'count', 'sum': 'sum', 'mean': 'avg', 'min': 'min', 'max': 'max', 'stddev': 'stddev_samp',
    'count_distinct': feature_sync.rolling_count_distinct, 'last': feature_sync.rolling_last,
} -%}
{%- if aggregate not in functions -%}
    {{ exceptions.raise_compiler_error("rolling knows no aggregate '" ~ aggregate ~ "'; there is " ~ functions | join(', ')) }}
{%- endif -%}
{%- set prefix = name or ('count' if column == '*' else aggregate ~ '_' ~ column) -%}
{%- if not modules.re.match('^[A-Za-z_][A-Za-z0-9_]*$', prefix) -%}
    {{ exceptions.raise_compiler_error("rolling can't make a column's name of '" ~ column ~ "'; say name='...'") }}
{%- endif -%}
{%- set keys = by if by is string else by | join(', ') -%}
{%- set argument = feature_sync.as_double(column) if aggregate in ('mean', 'stddev') else column -%}
{%- for each in ([window] if window is string else window) -%}
    {%- if functions[aggregate] is string -%}
        {%- set value = functions[aggregate] ~ '(' ~ argument ~ ') over ' ~ feature_sync.rolling_frame(each, keys, order_by, closed) -%}
    {%- else -%}
        {%- set value = functions[aggregate](column, each, keys, order_by, closed) -%}
    {%- endif -%}
{{ 'cast(' ~ value ~ ' as ' ~ data_type ~ ')' if data_type else value }} as {{ prefix }}_{{ each }}{{ ',\n    ' if not loop.last }}
{%- endfor %}
{%- endmacro %}
