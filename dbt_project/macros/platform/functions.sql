{#- dbt leaves functions PARALLEL UNSAFE, which forbids a parallel plan to every
    query that calls one. Ours are pure expressions over their arguments. -#}
{% macro postgres__scalar_function_volatility_sql() %}
    {{ default__scalar_function_volatility_sql() }}
    parallel safe
{% endmacro %}
