{#- Regular expressions with explicit character classes only: `\w`, `\d` and
    `\s` mean different things in different engines. -#}
{% macro matches(column, pattern) -%}
    {{ column }} ~ '{{ pattern }}'
{%- endmacro %}

{% macro replace_all(column, pattern, replacement='') -%}
    regexp_replace({{ column }}, E'{{ pattern }}', '{{ replacement }}', 'g')
{%- endmacro %}
