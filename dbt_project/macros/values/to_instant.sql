{#- An instant of ISO 8601: YYYY-MM-DD, `T` or one blank, HH:MM, then perhaps
    seconds with up to six decimals, and `Z` or an offset; without either it is
    taken as UTC, whatever the time zone of the session. Null for anything else:
    PostgreSQL alone would also take `now`, `24:00` and names of zones, and
    round what is finer than it can keep. -#}
{% macro to_instant(column) -%}
    case
        when
            {{ column }} ~ (
                '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-5][0-9]'
                || '(:[0-5][0-9]([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}(:?[0-5][0-9])?)?$'
            )
            and pg_input_is_valid({{ column }}, 'timestamptz')
            then (
                {{ column }}
                || case when {{ column }} ~ '(Z|:[^-]*[+-].*)$' then '' else 'Z' end
            )::timestamptz
    end
{%- endmacro %}
