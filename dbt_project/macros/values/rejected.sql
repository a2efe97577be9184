{#- The whole model of the rows of a source table that an entity refused: as they came, where
    they stood, the rules that they break, and what their values may have been. -#}
{% macro rejected_rows(entity, source_table) -%}
    with

    verdicts as (

        select * from {{ source('journal', 'verdicts') }}

    ),

    source_rows as (

        select * from {{ source_table }}

    )

    select
        verdicts.load_id,
        verdicts.row_number,
        verdicts.rules,
        verdicts.proposals,
        {%- for column in columns_of_source(source_table) %}
        source_rows."{{ column }}",
        {%- endfor %}
        source_rows._malformed as malformed
    from verdicts
    inner join source_rows
        on
            verdicts.load_id = source_rows._load_id
            and verdicts.row_number = source_rows._row_number
    where verdicts.entity = '{{ entity }}'
{%- endmacro %}

{#- The columns of a source table; none while dbt parses. -#}
{% macro columns_of_source(source_table) -%}
    {%- if execute and graph.sources is defined -%}
        {%- for source in graph.sources.values()
            if source.schema == source_table.schema and source.identifier == source_table.identifier -%}
            {{ return(source.columns.keys() | list) }}
        {%- endfor -%}
    {%- endif -%}
    {{ return([]) }}
{%- endmacro %}
