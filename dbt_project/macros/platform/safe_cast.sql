{#- The catalog calls the type of any array ARRAY, which is no type to cast a unit
    test's values to. All our arrays are of text. -#}
{% macro postgres__safe_cast(field, type) %}
    cast({{ field }} as {{ 'text[]' if type == 'ARRAY' else type }})
{% endmacro %}
