{#- Whether a text has the form of a CAS number; whether its check digit fits is for
    `is_cas_number` to say. -#}
{% macro is_cas_like(column) -%}
    {{ column }} ~ '^[1-9][0-9]{1,6}-[0-9]{2}-[0-9]$'
{%- endmacro %}

{#- The identification level that a text in words or Roman numerals names: `level 1`,
    `MSI:3`, `II`. Null for anything else: `2a` is of another scale. -#}
{% macro proposed_level(column) -%}
    case
        when {{ column }} ~* '^(level|msi)[ :=]*[1-5]([.]0*)?$'
            then substring({{ column }}, '[1-5]')
        else array_position(array['I', 'II', 'III', 'IV', 'V'], upper({{ column }}))::text
    end
{%- endmacro %}
