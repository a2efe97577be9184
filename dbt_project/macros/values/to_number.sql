{#- A number as people write it, in ASCII digits with a decimal point, with
    exactly the digits given; null for anything else. PostgreSQL alone would
    also take `1_000`, `0x1F` and `NaN`. Its numeric has room for any number of
    this form and length, so the cast never fails; of a type that has less room,
    such as `numeric(8, 2)`, only what fits it unrounded is a number. -#}
{% macro to_number(column, data_type='numeric') -%}
    case
        when
            {{ column }} ~ '^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,4})?$'
            and length({{ column }}) < 1000
            {%- if data_type != 'numeric' %}
            and pg_input_is_valid({{ column }}, '{{ data_type }}')
            {%- endif %}
            {%- if '(' in data_type %}
            and {{ column }}::numeric = {{ column }}::{{ data_type }}
            {%- endif %}
            then {{ column }}::{{ data_type }}
    end
{%- endmacro %}
