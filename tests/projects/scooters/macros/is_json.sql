{#- A message that is none became a dead letter, and no row; a tombstone has no value. -#}
{% macro is_json() -%}
{{ "safe.parse_json(message_value) is not null" if target.type == 'bigquery' else "message_value is json object" }}
{%- endmacro %}
