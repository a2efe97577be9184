{#- An instant as ISO 8601 writes it, with `T` or a blank before the time, or a date, which is
    its midnight; UTC where there is no offset, whatever the time zone of the session. A second has
    up to nine digits after it, as other databases and languages write them; `whole_microseconds`
    has cut those that PostgreSQL would round. Null for anything else: PostgreSQL alone would also
    take `now`, `24:00` and names of zones. -#}
{% macro to_timestamp(column) -%}
    {%- set time = '([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?)?' -%}
    {%- set offset = ' ?([Zz]|[+-][0-9]{2}(:?[0-5][0-9])?)' -%}
    case
        when
            {{ column }} ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ]{{ time }}({{ offset }})?)?$'
            and pg_input_is_valid({{ column }}, 'timestamptz')
            then (
                {{ column }}
                || case when {{ column }} ~ ':[^-]*{{ offset }}$' then '' else ' UTC' end
            )::timestamptz
    end
{%- endmacro %}
