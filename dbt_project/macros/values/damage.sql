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
    case
        when starts_with({{ column }}, '''') then nullif(substr({{ column }}, 2), '')
        else {{ column }}
    end
{%- endmacro %}

{#- In Unicode's composed form (NFC), in which the same letters are the same bytes. -#}
{% macro composed(column) -%}
    case
        when octet_length({{ column }}) > length({{ column }})
            then normalize({{ column }}, nfc)
        else {{ column }}
    end
{%- endmacro %}

{#- The minus sign of typesetters as the one of ASCII. -#}
{% macro plain_minus(column) -%}
    case
        when octet_length({{ column }}) > length({{ column }})
            then regexp_replace({{ column }}, E'^[\u2212\u2010-\u2013](?=[0-9.])', '-')
        else {{ column }}
    end
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

{#- A number with a decimal point, where the source declares that it writes another
    sign: `config.meta.load.decimal` of the source table. -#}
{% macro decimal_point(column) -%}
    {%- set sign = source_declares('decimal') -%}
    {%- if sign -%}
    translate({{ column }}, '{{ sign }}.', '.{{ sign }}')
    {%- else -%}
    {{ column }}
    {%- endif -%}
{%- endmacro %}
