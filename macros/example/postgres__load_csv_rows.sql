{#-
    dbt dispatches a macro for the placeholder of every single cell, a minute for 27,000 rows. A row of placeholders
    is built once here. dbt looks for its own macros in the root project, so projects that install this package keep
    dbt's.
-#}
{% macro postgres__load_csv_rows(model, agate_table) %}
    {% set columns = get_seed_column_quoted_csv(model, agate_table.column_names) %}
    {% set placeholders = '(' ~ (['%s'] * (agate_table.column_names | length)) | join(', ') ~ ')' %}
    {% set statements = [] %}

    {% for rows in agate_table.rows | batch(get_batch_size()) %}
        {% set bindings = [] %}
        {% for row in rows %}
            {% do bindings.extend(row) %}
        {% endfor %}
        {% set values = ([placeholders] * (rows | length)) | join(',\n') %}
        {% set statement = 'insert into ' ~ this.render() ~ ' (' ~ columns ~ ') values\n' ~ values %}
        {% do adapter.add_query(statement, bindings=bindings, abridge_sql_log=True) %}
        {% do statements.append(statement) %}
    {% endfor %}

    {{ return(statements[0]) }}
{% endmacro %}
