{#- Text without the white space around it, no-break and zero-width characters
    included; null if nothing is left. -#}
{% macro clean_text(column) -%}
    nullif(btrim({{ column }}, E' \t\r\n\u00a0\u200b\ufeff'), '')
{%- endmacro %}

{#- Text without any white space, no-break and zero-width characters included. -#}
{% macro without_space(column) -%}
    {{ replace_all(column, '[[:space:]\u00a0\u200b\ufeff]+') }}
{%- endmacro %}
