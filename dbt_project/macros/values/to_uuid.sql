{#- A UUID as RFC 9562 writes it, 32 hexadecimal digits in five groups; null for
    anything else. PostgreSQL alone would also take braces and other groups; where
    the four hyphens stand, only digits are left for it to judge. -#}
{% macro to_uuid(column) -%}
    case
        when
            {{ column }} like '________-____-____-____-____________'
            and pg_input_is_valid({{ column }}, 'uuid')
            then {{ column }}::uuid
    end
{%- endmacro %}
