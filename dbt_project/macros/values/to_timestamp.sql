{#- A moment of ISO 8601 that says its zone, `2019-11-30T09:15:00Z` or `+02:00` in
    the place of `Z`, with or without seconds; null for anything else. Without a
    zone it could be any of 27 moments. -#}
{% macro to_timestamp(column) -%}
    case
        when
            {{ column }} ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3])(:[0-5][0-9]){1,2}([.][0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})$'
            and pg_input_is_valid({{ column }}, 'timestamptz')
            then {{ column }}::timestamptz
    end
{%- endmacro %}
