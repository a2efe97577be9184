{#- Text without the white space around it, no-break and zero-width characters
    included; null if nothing is left. The quote before a text that a spreadsheet
    would run, which exports write, is no part of it; numbers have none. -#}
{% macro clean_text(column) -%}
    {%- set trimmed = "btrim(" ~ column ~ ", E' \\t\\r\\n\\u00a0\\u200b\\ufeff')" -%}
    case
        when starts_with({{ trimmed }}, '''')
            then regexp_replace(
                {{ trimmed }},
                '^''(?=''*[=+@\t\r-])'
                '(?!''*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$)',
                ''
            )
        else nullif({{ trimmed }}, '')
    end
{%- endmacro %}

{#- Text without any white space, no-break, zero-width and soft hyphens included. -#}
{% macro without_space(column) -%}
    {{ replace_all(
        column, '[[:space:]\u00a0\u00ad\u2000-\u200d\u202f\u2060\ufeff]+'
    ) }}
{%- endmacro %}

{#- Text on one line: a line break, with the white space around it, is one space. -#}
{% macro on_one_line(column) -%}
    {{ replace_all(column, '[[:space:]]*[\\r\\n\\u0085\\u2028\\u2029][[:space:]]*', ' ') }}
{%- endmacro %}
