{#- Takes a load back: `dbt run-operation unload`. Of each key on which nothing newer
    stands the row becomes what it was before the load, by an ordinary edit in the
    journal; what the load said of it is forgotten, so the file can be loaded again.
    The raw rows stay, and the load is marked. What waits to be taken comes first, if
    `after_pending`: it is older than the edits of the unloading. -#}
{% macro unload(load_id, user, after_pending=false) -%}
    {%- if after_pending -%}
        {%- for row in query("
            select source_table from raw.loads where state = 'loaded' and load_id = " ~ load_id
        ) -%}
            {%- do adapter.commit() -%}
            {%- do take_loads(row[0]) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- do execute_sql('begin') -%}
    {#- in the order of a build: its turn, then the load -#}
    {%- for source_table in query('select source_table from raw.loads where load_id = ' ~ load_id) -%}
        {%- for contract in curated_models() if source_table[0] in source_tables_of(contract) -%}
            {%- do wait_for_turn('build ' ~ contract.name) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set found = query("
        select load_id, clock, source_table, state from raw.loads
        where load_id = " ~ load_id ~ " and state <> 'rehearsal' for update
    ") -%}
    {%- set state = found[0][3] if found else none -%}
    {%- if state != 'loaded' -%}
        {{ exceptions.raise_compiler_error({
            'unloaded': 'Load ' ~ load_id ~ ' was taken back already.',
            'failed': 'Load ' ~ load_id ~ ' failed: there is nothing to take back.',
        }.get(state, 'There is no load ' ~ load_id ~ '.')) }}
    {%- endif -%}
    {%- set moment = query('select clock_timestamp()::text')[0][0] -%}
    {%- set by = {
        'user': user | replace("'", "''"), 'moment': moment, 'cause': 'unload ' ~ load_id,
    } -%}
    {%- for contract in curated_models() if found[0][2] in source_tables_of(contract) -%}
        {%- if not is_pending(contract, load_id) -%}
            {%- do unload_from(contract, relation_of(contract), found[0][0], found[0][1], by) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do execute_sql(
        "update raw.loads set state = 'unloaded' where load_id = " ~ load_id ~ '; commit'
    ) -%}
{%- endmacro %}

{% macro unload_from(contract, relation, load_id, clock, by) -%}
    {%- set staged = staged_of(contract) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set content = content_columns(contract) | join(', ') -%}
    {%- do execute_sql('drop table if exists undone, verdicts, doubts, claims') -%}
    {%- do refuse_outdated_table(contract) -%}
    {%- do refuse_lost_rows(contract) -%}
    {%- do lock_curated(relation) -%}

    {%- do execute_sql("
        create temporary table undone on commit drop as
        select ledger.key
        from " ~ ledger_of(contract) ~ " as ledger
        where
            ledger.load_id = " ~ load_id ~ "
            and ledger.is_last
            and not exists (
                select from journal.edits
                where
                    edits.entity = '" ~ contract.name ~ "'
                    and edits.key = ledger.key::text
                    and edits.clock > " ~ clock ~ "
            )
    ") -%}
    {%- do execute_sql('analyze undone') -%}
    {%- do execute_sql(
        'create unlogged table ' ~ staged ~ ' as '
        ~ versions_sql(contract, ledger_of(contract), 'select key from undone') ~ ",

        before as (
            select distinct on (_key) * from versions
            where _clock < " ~ clock ~ "
            order by _key, _clock desc
        )

        select
            undone.key as _key,
            row_number() over () as _row_number,
            coalesce(_is_deletion, true) as _is_deletion,
            null::text as _malformed,
            '{}'::text[] as _problems,
            " ~ content ~ "
        from undone
        left join before on before._key = undone.key
    ") -%}
    {#- what others refer to stays -#}
    {%- for other in curated_models() if columns_of(table_of(other)) -%}
        {%- for column, target in references_of(other).items() if target.name == contract.name -%}
            {%- do execute_sql("
                delete from " ~ staged ~ "
                where _is_deletion and _key in (select " ~ column ~ " from " ~ table_of(other) ~ ")
            ") -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- do execute_sql('delete from undone where key not in (select _key from ' ~ staged ~ ')') -%}

    {#- what was added goes first: its identifiers are free then -#}
    {%- set deleted = journaled(contract, by, "
        delete from " ~ relation ~ " as target using " ~ staged ~ " as staged
        where target." ~ key ~ " = staged._key and staged._is_deletion
    ") -%}

    {#- what was changed must fit today's rules and rows -#}
    {%- do execute_sql("
        create temporary table verdicts (row_number bigint, rules text[]) on commit drop;
        create temporary table doubts (row_number bigint, rules text[], holder "
        ~ contract.columns[key].data_type ~ ", is_exchange boolean not null default false)
        on commit drop;
        create temporary table claims (like doubts) on commit drop
    ") -%}
    {%- do judge_rows(contract, staged, 'doubts', 'where not _is_deletion') -%}
    {%- do doubt(contract, relation, staged, ' and not staged._is_deletion') -%}
    {%- set restored = '(select * from ' ~ staged ~ ' where not _is_deletion)' -%}
    {%- do doubt_links(contract, relation, restored) -%}
    {%- do doubt_references(contract, restored) -%}
    {%- do doubt_queries(contract, relation, restored) -%}
    {%- do settle_exchanges(contract, relation, restored) -%}
    {%- do execute_sql(
        'insert into verdicts select row_number, rules from doubts where not is_exchange'
    ) -%}
    {%- do drop_rejected(staged) -%}
    {%- set restored = journaled(contract, by, "
        update " ~ relation ~ " as target
        set " ~ assignments(contract, 'staged', edited_by(by)) ~ "
        from " ~ staged ~ " as staged
        where target." ~ key ~ " = staged._key and not staged._is_deletion
    ") -%}

    {%- do forget(contract, 'select _key from ' ~ staged) -%}
    {%- do execute_sql("
        insert into journal.unloads
        select
            '" ~ contract.name ~ "', " ~ load_id ~ ", '" ~ by.user ~ "', '" ~ by.moment ~ "',
            " ~ deleted ~ ", " ~ restored ~ ",
            (select count(*) from " ~ ledger_of(contract) ~ " where load_id = " ~ load_id ~ ")
            - (select count(*) from undone),
            " ~ rules_counted('verdicts')
    ) -%}
    {%- do execute_sql('drop table ' ~ staged) -%}
{%- endmacro %}

{#- A write and its journal entries in one statement, as the API does it. -#}
{% macro journaled(contract, by, write) -%}
    {%- set key = key_of(contract)[0] -%}
    {{ return(execute_sql("
        with written as (
            " ~ write ~ "
            returning
                to_jsonb(old) - '_transaction_id' as before,
                to_jsonb(new) - '_transaction_id' as after,
                coalesce(new." ~ key ~ ", old." ~ key ~ ")::text as key
        )
        insert into journal.edits (
            entity, key, operation, before, after, edited_by, edited_at, cause, resets_ledger
        )
        select
            '" ~ contract.name ~ "', key,
            case
                when before is null then 'insert' when after is null then 'delete' else 'update'
            end,
            before, after, '" ~ by.user ~ "', '" ~ by.moment ~ "', '" ~ by.cause ~ "', true
        from written
    ")) }}
{%- endmacro %}

{#- Who edits and when. -#}
{% macro edited_by(by) -%}
    '{{ by.moment }}'::timestamptz, '{{ by.user }}'
{%- endmacro %}

{#- Whatever the source sends next for these keys is news. -#}
{% macro forget(contract, keys) -%}
    {%- do execute_sql(
        'update ' ~ ledger_of(contract) ~ ' set is_last = false where is_last and key in (' ~ keys ~ ')'
    ) -%}
{%- endmacro %}
