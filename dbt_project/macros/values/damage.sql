{#- What spreadsheets and typesetters do to values. These take text and give text, so
    that staging can note the difference; what they cannot prove they leave alone. -#}

{#- Without the formula in which an export wraps a text so that a spreadsheet leaves it
    alone: `="text"`. -#}
{% macro unwrapped(column) -%}
    case
        when starts_with({{ column }}, '="') and {{ column }} ~ '^="([^"]|"")*"$'
            then nullif(btrim(replace(
                substr({{ column }}, 3, length({{ column }}) - 3), '""', '"'
            )), '')
        else {{ column }}
    end
{%- endmacro %}

{#- Without the apostrophe by which a spreadsheet knows that a cell is text. A name may
    begin with one; numbers and identifiers do not. -#}
{% macro unquoted(column) -%}
    nullif(regexp_replace({{ column }}, '^''', ''), '')
{%- endmacro %}

{#- Without characters that nobody sees: soft hyphens, joiners, byte order marks. -#}
{% macro without_invisible(column) -%}
    {{ replace_all(column, '[\u00ad\u200b-\u200d\u2060\ufeff]+') }}
{%- endmacro %}

{#- In Unicode's composed form (NFC), in which the same letters are the same bytes. -#}
{% macro composed(column) -%}
    normalize({{ column }}, nfc)
{%- endmacro %}

{#- The minus sign of typesetters as the one of ASCII. -#}
{% macro plain_minus(column) -%}
    regexp_replace({{ column }}, E'^[\u2212\u2010-\u2013](?=[0-9.])', '-')
{%- endmacro %}

{#- Whether a text is what a spreadsheet shows in the place of a result: `#REF!`. -#}
{% macro is_spreadsheet_error(column) -%}
    starts_with({{ column }}, '#')
    and {{ column }} ~* '^#(REF!|NAME[?]|VALUE!|DIV/0!|NUM!|NULL!|N/A|SPILL!|CALC!|FIELD!|#+)$'
{%- endmacro %}

{#- Whether a text is a date as spreadsheets show one: `1-Mar`, `Mar-01`, `2001-03-01`,
    `01/03/2001`. Where a name is wanted it is what they made of one, such as `MAR1`. -#}
{% macro is_date_like(column) -%}
    {%- set month = '(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)' -%}
    {{ column }} ~* (
        '^([0-9]{1,2}-{{ month }}(-[0-9]{2,4})?|{{ month }}-[0-9]{2,4}'
        || '|[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9:]+)?|[0-9]{1,2}[/.][0-9]{1,2}[/.][0-9]{4})$'
    )
{%- endmacro %}

{#- The name that a date of day and month may have been (`1-Mar` was `MAR1`), or what
    stands behind the `=` of a formula (`=-epicatechin`); null for anything else. -#}
{% macro proposed_name(column) -%}
    case
        when {{ column }} ~* '^[0-9]{1,2}-[a-z]{3}$' and {{ is_date_like(column) }}
            then upper(split_part({{ column }}, '-', 2)) || ltrim(split_part({{ column }}, '-', 1), '0')
        else substring({{ column }}, '^=(.+)$')
    end
{%- endmacro %}

{#- The number that a text with a decimal comma, or with blanks or apostrophes between
    thousands, may be. Null where it may be two: `1,234`, `1.234,56`. -#}
{% macro proposed_number(column) -%}
    case
        when
            {{ column }} ~ '^[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]{1,4})?$'
            and {{ column }} !~ '^[+-]?[1-9][0-9]{0,2},[0-9]{3}$'
            then replace({{ column }}, ',', '.')
        when {{ column }} ~ E'^[+-]?[0-9]{1,3}([ \u00a0\u2009\u202f''][0-9]{3})+([.][0-9]+)?$'
            then {{ replace_all(column, "[^0-9.+-]") }}
    end
{%- endmacro %}

{#- The day, and the time after it, of a text in which only the order of day, month and year
    is another: `13/4/2026`, `2026/04/13`, `20260413`. Null where it may be two days: `3/4/2026`. -#}
{% macro proposed_date(column) -%}
    {%- set time = '([T ][0-9:.]+(Z|[+-][0-9:]+)?)?$' -%}
    {%- set above_12 = '(1[3-9]|2[0-9]|3[01])' -%}
    case
        when {{ column }} ~ '^[0-9]{4}[./]?[0-9]{2}[./]?[0-9]{2}{{ time }}'
            then regexp_replace({{ column }}, '^([0-9]{4})[./]?([0-9]{2})[./]?', '\1-\2-')
        when {{ column }} ~ '^({{ above_12 }}[./-][0-9]{1,2}|([0-9]{1,2})[./-]\3)[./-][0-9]{4}{{ time }}'
            then {{ in_order_of_iso(column, 'dmy') }}
        when {{ column }} ~ '^[0-9]{1,2}[./-]{{ above_12 }}[./-][0-9]{4}{{ time }}'
            then {{ in_order_of_iso(column, 'mdy') }}
    end
{%- endmacro %}

{#- A text that begins with day, month and year in this order, as ISO 8601 has them; any other as
    it is. -#}
{% macro in_order_of_iso(column, order) -%}
    {%- set digits = {'d': '([0-9]{1,2})', 'm': '([0-9]{1,2})', 'y': '([0-9]{4})'} -%}
    {%- if order not in ('dmy', 'mdy', 'ymd') -%}
        {{ exceptions.raise_compiler_error("dates: write dmy, mdy or ymd, not " ~ order) }}
    {%- endif -%}
    regexp_replace(
        regexp_replace(
            {{ column }},
            '^{{ digits[order[0]] }}[./-]{{ digits[order[1]] }}[./-]{{ digits[order[2]] }}(?![0-9])',
            '\{{ order.index('y') + 1 }}-0\{{ order.index('m') + 1 }}-0\{{ order.index('d') + 1 }}'
        ),
        '^([0-9]{4})-0?([0-9]{2})-0?([0-9]{2})(?![0-9])', '\1-\2-\3'
    )
{%- endmacro %}

{#- The word that another for yes or no stands for. -#}
{% macro proposed_boolean(column) -%}
    case lower({{ column }})
        when 'yes' then 'true'
        when 'y' then 'true'
        when 't' then 'true'
        when '1' then 'true'
        when 'no' then 'false'
        when 'n' then 'false'
        when 'f' then 'false'
        when '0' then 'false'
    end
{%- endmacro %}

{#- A UUID without its hyphens, or in braces, as RFC 9562 writes it. -#}
{% macro proposed_uuid(column) -%}
    case
        when {{ column }} ~* '^([0-9a-f]{32}|[{][0-9a-f-]{36}[}])$' and pg_input_is_valid({{ column }}, 'uuid')
            then {{ column }}::uuid::text
    end
{%- endmacro %}

{#- An instant in digits that PostgreSQL can keep: what is finer than a microsecond is cut, since
    it would round it. Zeros say nothing, and stay. -#}
{% macro whole_microseconds(column) -%}
    regexp_replace({{ column }}, '([.][0-9]{6})(?=[0-9]*[1-9])[0-9]{1,3}(?![0-9])', '\1')
{%- endmacro %}

{#- A date, and the time after it, in the order of ISO 8601, where the source declares the order in
    which it writes day, month and year: `config.meta.load.dates` of the source table. -#}
{% macro iso_date(column) -%}
    {%- set order = source_declares('dates') -%}
    {{ in_order_of_iso(column, order) if order else column }}
{%- endmacro %}

{#- A number with a decimal point, where the source declares that it writes another
    sign: `config.meta.load.decimal` of the source table. -#}
{% macro decimal_point(column) -%}
    {%- set sign = source_declares('decimal') -%}
    {%- if sign -%}
    case
        when {{ column }} ~ '[0-9]' then translate({{ column }}, '{{ sign }}.', '.{{ sign }}')
        else {{ column }}
    end
    {%- else -%}
    {{ column }}
    {%- endif -%}
{%- endmacro %}
