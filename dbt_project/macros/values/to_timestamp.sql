{#- An instant as ISO 8601 writes it, with `T` or a blank before the time, or a date, which is
    its midnight; UTC where there is no offset. Null for anything else: PostgreSQL alone would
    also take `yesterday`, and read other forms by the session's settings. -#}
{% macro to_timestamp(column) -%}
    {%- set instant = "case when " ~ column ~ " ~ '(Z|z|[+-][0-9]{2}:?[0-9]{2})$' and length("
        ~ column ~ ") > 10 then " ~ column ~ " else " ~ column ~ " || ' UTC' end" -%}
    case
        when
            {{ column }} ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?)?$'
            and pg_input_is_valid({{ instant }}, 'timestamptz')
            then ({{ instant }})::timestamptz
    end
{%- endmacro %}
