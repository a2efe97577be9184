{#- Samples are rows to begin with. They go when their source brings something of its
    own, before that is judged, so that nothing is compared with them: every row on
    which nothing newer stands, and what the API's own samples made of these rows. It
    is an ordinary edit in the journal, as that of an unloading, all in one
    transaction; without such loads it is one query. -#}
{% macro take_back_samples() -%}
    {%- if execute and not is_dry_run() -%}
        {%- if sample_loads(is_replaced()) -%}
            {%- do execute_sql('begin') -%}
            {%- do renew_clocks(drop_samples(is_replaced())) -%}
            {%- do execute_sql('commit') -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#- SQL: the sample's source has another load. -#}
{% macro is_replaced() -%}
    exists (
        select from raw.loads as own
        where
            own.state = 'loaded'
            and not own.is_sample
            and split_part(own.source_table, '.', 1) = split_part(loads.source_table, '.', 1)
    )
{%- endmacro %}

{% macro sample_loads(condition) -%}
    {{ return(query("
        select load_id, clock, source_table, clock_timestamp()::text from raw.loads
        where is_sample and state = 'loaded' and " ~ condition ~ "
        order by load_id
    ")) }}
{%- endmacro %}

{#- What waits to be taken comes after the edits of the taking back, so that it is not
    older than they are. Loads of all tables draw their clocks one after another. -#}
{% macro renew_clocks(sources) -%}
    {%- do wait_for_turn('journal.clock') -%}
    {%- do execute_sql("
        update raw.loads set clock = renewed.clock
        from (
            select load_id, nextval('journal.clock') as clock
            from (
                select load_id from raw.loads
                where
                    state = 'loaded'
                    and not is_sample
                    and split_part(source_table, '.', 1) = any(array['"
                    ~ sources | join("', '") ~ "']::text[])
                    and not exists (
                        select from journal.accounts where accounts.load_id = loads.load_id
                    )
                order by clock
            ) as waiting
        ) as renewed
        where loads.load_id = renewed.load_id
    ") -%}
{%- endmacro %}

{#- Takes back the sample loads for which a condition holds, in a transaction; the names of
    their sources. -#}
{% macro drop_samples(condition) -%}
    {%- set sources = sample_loads(condition) | map(attribute=2) | unique | list -%}
    {%- set contracts, found = [], [] -%}
    {%- for contract in connected_models(sources) if columns_of(table_of(contract)) -%}
        {%- do wait_for_turn('build ' ~ contract.name) -%}
        {%- do contracts.append([- depth_of(contract), contract.name, contract]) -%}
    {%- endfor -%}
    {#- another run may have taken them back meanwhile -#}
    {%- set loads = sample_loads(condition) -%}
    {#- who refers to others goes before them -#}
    {%- for _, _, contract in contracts | sort if loads -%}
        {%- do lock_curated(relation_of(contract)) -%}
        {%- do drop_rows_of_api(contract, loads[0][3]) -%}
        {%- for load_id, clock, source_table, moment in loads -%}
            {%- if source_table in source_tables_of(contract) and has_ledger(contract) -%}
                {%- do drop_rows_of_load(contract, load_id, clock, moment) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for load in loads -%}
        {%- do execute_sql("update raw.loads set state = 'unloaded' where load_id = " ~ load[0]) -%}
        {%- do found.append(load[2].split('.')[0]) -%}
    {%- endfor -%}
    {{ return(found | unique | list) }}
{%- endmacro %}

{% macro drop_rows_of_load(contract, load_id, clock, moment) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set by = {'user': 'Sample', 'moment': moment, 'cause': 'unload ' ~ load_id} -%}
    {%- set of_load = "
        select ledger.key from " ~ ledger_of(contract) ~ " as ledger
        where ledger.load_id = " ~ load_id ~ " and ledger.is_last
    " -%}
    {%- set untouched = "
        target." ~ key ~ " in (" ~ of_load ~ ")
        and not exists (
            select from journal.edits
            where
                edits.entity = '" ~ contract.name ~ "'
                and edits.key = target." ~ key ~ "::text
                and edits.clock > " ~ clock ~ "
        )
    " -%}
    {%- set deleted = journaled(contract, by, "
        delete from " ~ table_of(contract) ~ " as target
        where " ~ untouched ~ " and " ~ is_free(contract) ~ "
    ") -%}
    {#- a row to which somebody refers stays, and is news when the source says it itself -#}
    {%- do journaled(contract, by, "
        update " ~ table_of(contract) ~ " as target set updated_by = target.updated_by
        where " ~ untouched
    ) -%}
    {#- what people deleted of it is no word on what the source will say -#}
    {%- do execute_sql("
        insert into journal.edits (
            entity, key, operation, before, edited_by, edited_at, cause, resets_ledger
        )
        select
            '" ~ contract.name ~ "', last.key, 'delete', last.before,
            '" ~ by.user ~ "', '" ~ moment ~ "', '" ~ by.cause ~ "', true
        from (
            select distinct on (edits.key) edits.*
            from journal.edits
            where
                edits.entity = '" ~ contract.name ~ "'
                and edits.key in (select key::text from (" ~ of_load ~ ") as of_load)
            order by edits.key, edits.clock desc
        ) as last
        where last.operation = 'delete' and not last.resets_ledger
    ") -%}
    {%- do execute_sql("
        insert into journal.unloads
        select
            '" ~ contract.name ~ "', " ~ load_id ~ ", '" ~ by.user ~ "', '" ~ moment ~ "',
            " ~ deleted ~ ", 0, count(*) - " ~ deleted ~ ", '{}'
        from (" ~ of_load ~ ") as of_load
    ") -%}
    {%- do forget(contract, of_load ~ "
        except select " ~ key ~ " from " ~ table_of(contract) ~ "
        union
        select edits.key::" ~ contract.columns[key].data_type ~ " from journal.edits
        where
            edits.entity = '" ~ contract.name ~ "'
            and edits.cause = '" ~ by.cause ~ "'
            and edits.operation = 'update'
    ") -%}
{%- endmacro %}

{#- What `config.meta.api.sample` brought, and nobody has changed since. -#}
{% macro drop_rows_of_api(contract, moment) -%}
    {%- set by = {'user': 'Sample', 'moment': moment, 'cause': 'sample'} -%}
    {%- do journaled(contract, by, "
        delete from " ~ table_of(contract) ~ " as target
        where target.updated_by = 'Sample' and " ~ is_free(contract) ~ "
    ") -%}
{%- endmacro %}

{#- SQL: no row refers to the target. A column that today's contract adds is not there yet, and
    one to which it gives another type has the old one. -#}
{% macro is_free(contract) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set key_type = columns_of(table_of(contract)).get(key) -%}
    true
    {%- for other in curated_models() -%}
        {%- set types = columns_of(table_of(other)) -%}
        {%- for column, to in references_of(other).items() if to.name == contract.name and column in types %}
            {%- set as_text = '' if types[column] == key_type else '::text' %}
            and not exists (
                select from {{ table_of(other) }} as other
                where other.{{ column }}{{ as_text }} = target.{{ key }}{{ as_text }}
            )
        {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}

{#- Models that are fed by these source tables, and all that references connect them with. -#}
{% macro connected_models(source_tables) -%}
    {%- set found = {} -%}
    {%- for contract in curated_models() -%}
        {%- if source_tables_of(contract) | select('in', source_tables) | list -%}
            {%- do found.update({contract.name: contract}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for _ in curated_models() -%}
        {%- for contract in curated_models() -%}
            {%- for to in references_of(contract).values() -%}
                {%- if contract.name in found or to.name in found -%}
                    {%- do found.update({contract.name: contract, to.name: to}) -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(curated_models() | selectattr('name', 'in', found.keys() | list) | list) }}
{%- endmacro %}

{#- How many references follow one another from a model. -#}
{% macro depth_of(contract) -%}
    {%- set depths = [0] -%}
    {%- for to in references_of(contract).values() if to.name != contract.name -%}
        {%- do depths.append(1 + depth_of(to)) -%}
    {%- endfor -%}
    {{ return(depths | max) }}
{%- endmacro %}
