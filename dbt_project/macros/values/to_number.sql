{#- A number as people write it, in ASCII digits with a decimal point, with
    exactly the digits given; null for anything else. PostgreSQL alone would
    also take `1_000`, `0x1F` and `NaN`. -#}
{% macro to_number(column) -%}
    case
        when
            {{ column }} ~ '^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$'
            and pg_input_is_valid({{ column }}, 'numeric')
            then {{ column }}::numeric
    end
{%- endmacro %}
