{#- A date written YYYY-MM-DD; null for anything else. -#}
{% macro to_date(column) -%}
    case
        when
            {{ column }} ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'
            and pg_input_is_valid({{ column }}, 'date')
            then {{ column }}::date
    end
{%- endmacro %}
