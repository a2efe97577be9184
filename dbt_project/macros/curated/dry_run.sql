{#- `--empty` and `--sample` are there to find out whether the SQL is right: nothing that serves is
    changed by them. What such a run makes, it makes in a schema of its own, without rows, and that
    goes at its end; what it refers to it finds there, if the run has made it, and else where
    it always is. -#}
{% macro is_dry_run() -%}
    {{ return(execute and (flags.EMPTY or invocation_args_dict.get('sample') is not none)) }}
{%- endmacro %}

{% macro dry_schema() -%}
    dry_run_{{ invocation_id | replace('-', '') }}
{%- endmacro %}

{#- Where a dry run makes what is otherwise made as `relation`. -#}
{% macro in_dry_schema(relation) -%}
    {{ return(api.Relation.create(
        database=relation.database, schema=dry_schema(), identifier=relation.identifier,
        type=relation.type
    )) }}
{%- endmacro %}

{#- Where a dry run finds a relation; without the limits by which dbt would have no rows of it.
    Expressions find the functions of the run by the search path. -#}
{% macro found_in_dry_run(relation) -%}
    {%- set made = in_dry_schema(relation) -%}
    {%- set is_made = query(
        "select
            to_regclass('" ~ made ~ "') is not null
            or exists (
                select from pg_catalog.pg_proc
                where
                    pronamespace = to_regnamespace('" ~ dry_schema() ~ "')
                    and proname = '" ~ relation.identifier ~ "'
            ),
            set_config('search_path', '" ~ dry_schema() ~ ", public', false)"
    )[0][0] -%}
    {{ return(made if is_made else api.Relation.create(
        database=relation.database, schema=relation.schema, identifier=relation.identifier,
        type=relation.type
    )) }}
{%- endmacro %}

{#- dbt's own, but for a dry run. -#}
{% macro ref() -%}
    {%- set relation = builtins.ref(*varargs, **kwargs) -%}
    {{ return(
        found_in_dry_run(relation) if is_dry_run() and relation.schema and not relation.is_cte
        else relation
    ) }}
{%- endmacro %}

{% macro function() -%}
    {%- set relation = builtins.function(*varargs, **kwargs) -%}
    {{ return(found_in_dry_run(relation) if is_dry_run() else relation) }}
{%- endmacro %}

{#- SQL: makes the schema, if it is the first to need it. -#}
{% macro begin_in_dry_schema() -%}
    select pg_advisory_xact_lock(hashtextextended('define {{ dry_schema() }}', 0));
    create schema if not exists {{ dry_schema() }};
{%- endmacro %}

{#- A model of a dry run: PostgreSQL reads its SQL. -#}
{% macro make_in_dry_schema(relation, sql) -%}
    {%- do execute_sql(
        begin_in_dry_schema() ~ ' create view ' ~ in_dry_schema(relation) ~ ' as (' ~ sql ~ '\n)'
    ) -%}
    {%- call noop_statement('main', 'OK') -%}{{ sql }}{%- endcall -%}
    {%- do adapter.commit() -%}
    {{ return({'relations': []}) }}
{%- endmacro %}

{#- A curated model too, and what its contract says: an empty table takes its checks. -#}
{% macro make_curated_in_dry_schema(contract, relation, sql) -%}
    {%- set table = in_dry_schema(relation) -%}
    {%- set rows = in_dry_schema(relation.incorporate(path={'identifier': contract.name ~ '__rows'})) -%}
    {%- do execute_sql(
        begin_in_dry_schema() ~ ' create view ' ~ rows ~ ' as (' ~ sql ~ '\n);'
        ~ ' create table ' ~ table ~ ' (' ~ columns_sql(contract) ~ ')'
    ) -%}
    {%- do refuse_other_types(contract, rows) -%}
    {%- for constraint in contract_constraints(contract) if constraint.rule.kind == 'check' -%}
        {%- do execute_sql(
            'alter table ' ~ table ~ ' add constraint ' ~ constraint.name ~ ' ' ~ constraint.definition
        ) -%}
    {%- endfor -%}
    {%- call noop_statement('main', 'OK') -%}{{ sql }}{%- endcall -%}
    {%- do adapter.commit() -%}
    {{ return({'relations': []}) }}
{%- endmacro %}

{#- At the end of each run. -#}
{% macro end_dry_run() -%}
    {%- if is_dry_run() -%}
        {%- do execute_sql('drop schema if exists ' ~ dry_schema() ~ ' cascade; commit') -%}
    {%- endif -%}
{%- endmacro %}

{#- dbt's own materializations, for models and seeds that people add. -#}
{% materialization table, adapter='postgres' %}
    {{ return(
        make_in_dry_schema(this, sql) if is_dry_run() else dbt.materialization_table_default()
    ) }}
{% endmaterialization %}

{% materialization incremental, adapter='postgres' %}
    {{ return(
        make_in_dry_schema(this, sql) if is_dry_run() else dbt.materialization_incremental_default()
    ) }}
{% endmaterialization %}

{% materialization snapshot, adapter='postgres' %}
    {{ return(
        make_in_dry_schema(this, sql) if is_dry_run() else dbt.materialization_snapshot_default()
    ) }}
{% endmaterialization %}

{#- A dry run reads what a seed holds already. -#}
{% materialization seed, adapter='postgres' %}
    {%- if is_dry_run() -%}
        {#- dbt shows what it read of the file -#}
        {%- do store_result('agate_table', response='OK', agate_table=load_agate_table()) -%}
        {%- call noop_statement('main', 'OK') -%}{%- endcall -%}
        {{ return({'relations': []}) }}
    {%- endif -%}
    {{ return(dbt.materialization_seed_default()) }}
{% endmaterialization %}
