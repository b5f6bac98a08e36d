{#- By the method `session`, dbt would write the text None for what is missing, and ends a text at its first apostrophe. -#}
{% macro spark__load_csv_rows(model, agate_table) %}
    {% set names = [] %}
    {% set casts = [] %}
    {% for name in agate_table.column_names %}
        {% set type = model.config.column_types.get(name, adapter.convert_type(agate_table, loop.index0)) %}
        {% do names.append('c' ~ loop.index0) %}
        {% do casts.append('cast(' ~ names[-1] ~ ' as ' ~ type ~ ')') %}
    {% endfor %}
    {% set statements = [] %}

    {% for rows in agate_table.rows | batch(get_batch_size()) %}
        {% set tuples = [] %}
        {% for row in rows %}
            {% set cells = [] %}
            {% for cell in row %}
                {% do cells.append('null' if cell is none else "'" ~ (cell | string | replace('\\', '\\\\') | replace("'", "\\'")) ~ "'") %}
            {% endfor %}
            {% do tuples.append('(' ~ cells | join(', ') ~ ')') %}
        {% endfor %}
        {% set statement = 'insert into ' ~ this.render() ~ ' select ' ~ casts | join(', ') ~ ' from values\n' ~ tuples | join(',\n')
            ~ '\nas cells (' ~ names | join(', ') ~ ')' %}
        {% do adapter.add_query(statement, abridge_sql_log=True) %}
        {% do statements.append(statement) %}
    {% endfor %}

    {{ return(statements[0]) }}
{% endmacro %}
