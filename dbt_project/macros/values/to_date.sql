{#- A date written YYYY-MM-DD, of which midnight may follow, as databases write a day; null for
    anything else. -#}
{% macro to_date(column) -%}
    case
        when
            {{ column }}
            ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ]00:00(:00([.]0{1,9})?)?( ?([Zz]|[+-]00(:?00)?))?)?$'
            and pg_input_is_valid(left({{ column }}, 10), 'date')
            then left({{ column }}, 10)::date
    end
{%- endmacro %}
