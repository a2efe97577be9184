{#- A number as people write it, in ASCII digits with a decimal point, with
    exactly the digits given; null for anything else. PostgreSQL alone would
    also take `1_000`, `0x1F` and `NaN`. Its numeric has room for any number of
    this form and length, so the cast never fails. -#}
{% macro to_number(column) -%}
    case
        when
            {{ column }} ~ '^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,4})?$'
            and length({{ column }}) < 1000
            then {{ column }}::numeric
    end
{%- endmacro %}
