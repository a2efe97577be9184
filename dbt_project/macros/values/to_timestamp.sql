{#- An instant as ISO 8601 writes it, with `T` or a blank before the time, or a date, which is
    its midnight; UTC where there is no offset, whatever the time zone of the session. Null for
    anything else: PostgreSQL alone would also take `now`, `24:00` and names of zones, and round
    what is finer than it can keep. -#}
{% macro to_timestamp(column) -%}
    {%- set time = '([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,6})?)?' -%}
    {%- set offset = '(Z|[+-][0-9]{2}(:?[0-5][0-9])?)' -%}
    case
        when
            {{ column }} ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]{{ time }}{{ offset }}?)?$'
            and pg_input_is_valid({{ column }}, 'timestamptz')
            then (
                {{ column }}
                || case when {{ column }} ~ ':[^-]*{{ offset }}$' then '' else ' UTC' end
            )::timestamptz
    end
{%- endmacro %}
