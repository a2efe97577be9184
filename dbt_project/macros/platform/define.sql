{#- Makes a view unless it is there with the same text: a build that changes no
    code replaces nothing under its readers. Its comment carries the fingerprint
    of its text. Whatever was made of an older view goes with it, and is made again
    by its own model. -#}
{% macro define_view(name, definition) -%}
    {%- set text = 'create view ' ~ name ~ ' as (' ~ definition ~ '\n)' -%}
    {%- do wait_for_turn('define ' ~ name) -%}
    {%- if not query(
        "select obj_description(to_regclass('" ~ name ~ "'), 'pg_class') = '" ~ local_md5(text) ~ "'"
    )[0][0] -%}
        {%- do execute_sql('drop view if exists ' ~ name ~ ' cascade; ' ~ text) -%}
        {%- do execute_sql('comment on view ' ~ name ~ " is '" ~ local_md5(text) ~ "'") -%}
    {%- endif -%}
{%- endmacro %}

{#- Until the end of the transaction nobody else is at the same work. -#}
{% macro wait_for_turn(work) -%}
    {%- do execute_sql("select pg_advisory_xact_lock(hashtextextended('" ~ work ~ "', 0))") -%}
{%- endmacro %}

{#- dbt's own replaces the view at every run, and two runs at once fail over its name. -#}
{% materialization view, adapter='postgres' %}
    {%- set relation = this.incorporate(type='view') -%}
    {%- if is_dry_run() -%}
        {{ return(make_in_dry_schema(relation, sql)) }}
    {%- endif -%}
    {{ run_hooks(pre_hooks) }}
    {%- do define_view(relation, sql) -%}
    {%- call noop_statement('main', 'OK') -%}{{ sql }}{%- endcall -%}
    {%- do persist_docs(relation, model) -%}
    {%- do adapter.commit() -%}
    {{ run_hooks(post_hooks) }}
    {{ return({'relations': [relation]}) }}
{% endmaterialization %}
