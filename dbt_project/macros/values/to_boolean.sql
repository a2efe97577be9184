{#- `true` or `false`, in letters of any case; null for anything else: what `1`,
    `yes` or `x` mean is for the dataset's own SQL to say. -#}
{% macro to_boolean(column) -%}
    case lower({{ column }})
        when 'true' then true
        when 'false' then false
    end
{%- endmacro %}
