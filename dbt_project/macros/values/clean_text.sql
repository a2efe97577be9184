{#- Text without the white space around it, no-break and zero-width characters
    included; null if nothing is left. Files that Assay makes have a `'` before
    texts that a spreadsheet would run: one is taken away, but none before a
    number. -#}
{% macro clean_text(column) -%}
    {%- set text -%}
        nullif(btrim({{ column }}, E' \t\r\n\u00a0\u200b\ufeff'), '')
    {%- endset -%}
    {#- Looked for first, since few texts have a quote and a pattern costs more. -#}
    case
        when strpos({{ column }}, '''') > 0
            then regexp_replace(
                {{ text }},
                E'^''(?=''*[-=+@\t\r])'
                '(?!''*[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$)',
                ''
            )
        else {{ text }}
    end
{%- endmacro %}

{#- Text without any white space, no-break and zero-width characters included. -#}
{% macro without_space(column) -%}
    {{ replace_all(column, '[[:space:]\u00a0\u200b\ufeff]+') }}
{%- endmacro %}
