{#- dbt leaves functions PARALLEL UNSAFE, which forbids a parallel plan to every
    query that calls one. Ours are pure expressions over their arguments. -#}
{% macro postgres__scalar_function_volatility_sql() %}
    {{ default__scalar_function_volatility_sql() }}
    parallel safe
{% endmacro %}

{#- Two runs at once would fail over the same row of PostgreSQL's catalog. -#}
{% macro postgres__scalar_function_sql(target_relation) %}
    {%- if is_dry_run() -%}
        {%- set target_relation = in_dry_schema(target_relation) -%}
        {{ begin_in_dry_schema() }}
    {%- endif %}
    select pg_advisory_xact_lock(hashtextextended('define {{ target_relation }}', 0));
    {{ default__scalar_function_sql(target_relation) }}
{% endmacro %}
