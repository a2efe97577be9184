{#- What the API's build worker asks of dbt: `dbt run-operation`. -#}

{% macro curated_models() -%}
    {{ return(
        graph.nodes.values() | selectattr('resource_type', 'equalto', 'model')
        | selectattr('config.materialized', 'equalto', 'curated') | list
    ) }}
{%- endmacro %}

{% macro relation_of(contract) -%}
    {{ return(api.Relation.create(
        database=target.database, schema=contract.schema, identifier=contract.alias, type='table'
    )) }}
{%- endmacro %}

{#- The name of a curated table, as constraints and functions keep it. -#}
{% macro table_of(contract) -%}
    {%- if is_dry_run() -%}
    {{ found_in_dry_run(relation_of(contract)) }}
    {%- else -%}
    {{ contract.schema }}.{{ contract.alias }}
    {%- endif -%}
{%- endmacro %}

{#- Takes the pending loads of the entities that a source table feeds: a build of
    tables that were built before. -#}
{% macro take_loads(source_table) -%}
    {%- do take_back_samples() -%}
    {%- for contract in curated_models() if source_table in source_tables_of(contract) -%}
        {%- do refuse_outdated_table(contract) -%}
        {%- do take_pending(contract, relation_of(contract)) -%}
    {%- endfor -%}
{%- endmacro %}

{#- Takes one load in a transaction that is rolled back, and logs, as one message each,
    what `reports` (queries) find in it. -#}
{% macro rehearse(load_id, reports) -%}
    {%- do execute_sql('begin') -%}
    {%- set source_table = query(
        'select source_table from raw.loads where load_id = ' ~ load_id
    )[0][0] -%}
    {#- as a build would, were this a load -#}
    {%- if drop_samples("split_part(source_table, '.', 1) = '" ~ source_table.split('.')[0] ~ "'") -%}
        {%- do execute_sql(
            "update raw.loads set clock = nextval('journal.clock') where load_id = " ~ load_id
        ) -%}
    {%- endif -%}
    {%- set row = query("
        select load_id, clock, finished_at::text, row_count
        from raw.loads where load_id = " ~ load_id
    )[0] -%}
    {%- set load = {
        'load_id': row[0], 'clock': row[1], 'finished_at': row[2], 'row_count': row[3],
    } -%}
    {%- for contract in curated_models() if source_table in source_tables_of(contract) -%}
        {%- do refuse_outdated_table(contract) -%}
        {%- do wait_for_turn('build ' ~ contract.name) -%}
        {%- do take(contract, relation_of(contract), load) -%}
    {%- endfor -%}
    {%- for report in reports -%}
        {{ log(query(report)[0][0], info=true) }}
    {%- endfor -%}
    {%- do execute_sql('rollback') -%}
{%- endmacro %}
