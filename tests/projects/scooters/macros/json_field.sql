{% macro json_field(name) -%}
{{ "json_value(message_value, '$." ~ name ~ "')" if target.type == 'bigquery' else "message_value::json ->> '" ~ name ~ "'" }}
{%- endmacro %}
