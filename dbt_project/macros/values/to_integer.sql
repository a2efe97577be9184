{#- A whole number; decimals that are all zero, as spreadsheets write them
    (`2.0`), are no part of it. Null for anything else. -#}
{% macro to_integer(column, data_type='integer') -%}
    case
        when
            {{ column }} ~ '^[+-]?[0-9]+([.]0*)?$'
            and pg_input_is_valid(split_part({{ column }}, '.', 1), '{{ data_type }}')
            then split_part({{ column }}, '.', 1)::{{ data_type }}
    end
{%- endmacro %}
