{#- A UUID as RFC 9562 writes it, in letters of any case; null for anything else.
    PostgreSQL alone would also take it in braces or without hyphens. -#}
{% macro to_uuid(column) -%}
    case
        when {{ column }} ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
            then {{ column }}::uuid
    end
{%- endmacro %}
