{#- Statements of the curated materialization, in its own transaction. -#}

{#- Rows of a query. -#}
{% macro query(sql) -%}
    {%- call statement('query', fetch_result=true) -%}{{ sql }}{%- endcall -%}
    {{ return(load_result('query').data) }}
{%- endmacro %}

{#- Number of rows that a statement touched. -#}
{% macro execute_sql(sql) -%}
    {%- call statement('execute_sql') -%}{{ sql }}{%- endcall -%}
    {{ return(load_result('execute_sql').response.rows_affected) }}
{%- endmacro %}
