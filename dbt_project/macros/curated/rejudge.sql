{#- Judges all history again under today's rules: `dbt run-operation rejudge`. Loads and
    edits are replayed in the order in which they came, on a copy; where the copy
    differs from the table, or from what history would make of it, the table becomes the
    copy by edits in the journal: so a row that was judged out stays out. What
    people edited stays as they left it, under the key that the row has today. Earlier
    rejudgements are not replayed: they were consequences of rules. Without `apply` all is
    shown and rolled back. -#}
{% macro rejudge(model_name, user, apply=false) -%}
    {%- set contract = contract_of(model_name) -%}
    {%- set relation = relation_of(contract) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set copy = api.Relation.create(schema='staging', identifier=contract.name ~ '__rejudged') -%}
    {%- set rehearsed = dict(
        contract, ledger='staging.' ~ contract.name ~ '__rehearsed', is_rehearsed=true
    ) -%}
    {%- set ledger = 'staging.' ~ contract.name ~ '__ledger' -%}
    {%- set state = 'staging.' ~ contract.name ~ '__state' -%}
    {%- set content = content_columns(contract) | join(', ') -%}

    {%- do begin_build(contract) -%}
    {%- do refuse_lost_rows(contract) -%}
    {%- do refuse_other_key(contract, relation) -%}
    {%- do wait_for_writers(relation) -%}
    {%- do rename_keys(contract) -%}
    {%- set retyped = other_types(contract, relation) -%}
    {%- do remember_reading(contract, retyped) -%}
    {%- do define_computed_keys(contract) -%}
    {%- do make_ledger(rehearsed) -%}
    {%- do execute_sql(
        'create unlogged table ' ~ copy
        ~ ' (' ~ columns_sql(contract) ~ ', primary key (' ~ key ~ '))'
    ) -%}
    {%- do add_indexes_of_links(contract, copy) -%}

    {%- set ns = namespace(clock=0) -%}
    {%- for load in taken_loads(contract) -%}
        {%- do replay_edits(rehearsed, copy, ns.clock, load.taken_at) -%}
        {%- do take(rehearsed, copy, load) -%}
        {%- set ns.clock = load.taken_at -%}
    {%- endfor -%}
    {%- do lock_curated(relation) -%}
    {%- do refuse_unreadable_edits(contract, relation) -%}
    {%- do drop_outdated_constraints(contract, relation) -%}
    {%- do alter_columns(contract, relation) -%}
    {%- do replay_edits(rehearsed, copy, ns.clock, 9223372036854775807) -%}
    {%- do compute_state(contract, ledger, state) -%}

    {#- A row that only history would have has a deletion too. -#}
    {%- do execute_sql("
        create temporary table difference on commit drop as
        select
            " ~ key ~ " as key,
            case
                when copy." ~ key ~ " is null then 'delete'
                when curated." ~ key ~ " is null then 'insert'
                else 'update'
            end as operation,
            case
                when curated." ~ key ~ " is not null then to_jsonb(curated) - '_transaction_id'
                when copy." ~ key ~ " is null then to_jsonb(state) - '_is_deletion'
            end as before,
            to_jsonb(copy) - array['_transaction_id', 'updated_at', 'updated_by'] as after
        from " ~ relation ~ " as curated
        full join " ~ copy ~ " as copy using (" ~ key ~ ")
        full join " ~ state ~ " as state using (" ~ key ~ ")
        where
            (copy." ~ content | replace(', ', ', copy.') ~ ")::text
            is distinct from (curated." ~ content | replace(', ', ', curated.') ~ ")::text
            or (copy." ~ content | replace(', ', ', copy.') ~ ")::text
            is distinct from (state." ~ content | replace(', ', ', state.') ~ ")::text
    ") -%}
    {%- do show_difference(contract) -%}
    {%- do refuse_orphans(contract) -%}

    {%- set by = {
        'user': user | replace("'", "''"),
        'moment': query('select clock_timestamp()::text')[0][0],
        'cause': 'rejudge',
    } -%}
    {#- all go before any comes: two rows may have to exchange an identifier -#}
    {%- do execute_sql("
        delete from " ~ relation ~ "
        where " ~ key ~ " in (select key from difference where operation <> 'insert')
    ") -%}
    {%- do execute_sql("
        insert into " ~ relation ~ " (" ~ content ~ ", updated_at, updated_by)
        select " ~ content ~ ", " ~ edited_by(by) ~ "
        from " ~ copy ~ "
        where " ~ key ~ " in (select key from difference where operation <> 'delete')
    ") -%}
    {%- do execute_sql("
        insert into journal.edits (
            entity, key, operation, before, after, edited_by, edited_at, cause, resets_ledger
        )
        select
            '" ~ contract.name ~ "', difference.key::text, difference.operation, difference.before,
            to_jsonb(curated) - '_transaction_id',
            '" ~ by.user ~ "', '" ~ by.moment ~ "', '" ~ by.cause ~ "', true
        from difference
        left join " ~ relation ~ " as curated on curated." ~ key ~ " = difference.key
    ") -%}
    {%- do forget(dict(contract, ledger=ledger), 'select key from difference') -%}
    {%- do replace_ledger(contract, ledger) -%}
    {%- do settle_references() -%}
    {%- do add_missing_constraints(contract, relation) -%}
    {%- if retyped -%}
        {%- do define_search_index(contract, relation) -%}
        {%- do define_triggers(contract, relation) -%}
        {%- do define_triggers_of_others(contract) -%}
    {%- endif -%}
    {%- do define_versions(contract) -%}
    {%- do execute_sql(
        'drop table ' ~ copy ~ ', ' ~ ledger_of(rehearsed) ~ ', ' ~ ledger ~ ', ' ~ state
    ) -%}
    {%- do execute_sql('commit' if apply else 'rollback') -%}
{%- endmacro %}

{#- Remembers the keys that history knows rows by and that they no longer have: edits under
    them are replayed under today's. -#}
{% macro rename_keys(contract) -%}
    {%- if has_ledger(contract) and not is_read_as_before(contract) -%}
        {%- do execute_sql("
            create temporary table renamed on commit drop as " ~ other_keys(contract)
        ) -%}
        {%- do execute_sql("
            update journal.renamed_keys as known
            set new_key = renamed.new_key
            from renamed
            where
                known.entity = '" ~ contract.name ~ "'
                and known.new_key = renamed.old_key
                and renamed.new_key is not null
        ") -%}
        {%- do execute_sql("
            insert into journal.renamed_keys as known (entity, old_key, new_key)
            select '" ~ contract.name ~ "', old_key, new_key
            from renamed
            where new_key is not null
            on conflict (entity, old_key) do update set new_key = excluded.new_key
        ") -%}
        {%- do execute_sql("
            delete from journal.renamed_keys
            where entity = '" ~ contract.name ~ "' and old_key = new_key
        ") -%}
    {%- endif -%}
{%- endmacro %}

{#- A row that others refer to does not go. -#}
{% macro refuse_orphans(contract) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- for other in curated_models() if columns_of(table_of(other)) -%}
        {%- for column, target in references_of(other).items() if target.name == contract.name -%}
            {%- set referring = query("
                select count(*)
                from " ~ table_of(other) ~ " as referring
                where exists (
                    select from difference
                    where operation = 'delete' and difference.key = referring." ~ column ~ "
                )
            ")[0][0] -%}
            {{ exceptions.raise_compiler_error(
                contract.name ~ ': nothing was changed, since ' ~ referring ~ ' ' ~ other.name
                ~ ' refer, by ' ~ column ~ ', to rows that would go: change or delete them first.'
            ) if referring }}
        {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}

{#- Loads that the entity has taken, in the order in which it took them. What was
    rejected in a load that was taken back does not come in by another door. -#}
{% macro taken_loads(contract) -%}
    {%- set loads = [] -%}
    {%- set rows = query("
        select load_id, loads.clock, finished_at::text, row_count, accounts.clock, state
        from journal.accounts
        inner join raw.loads using (load_id)
        where entity = '" ~ contract.name ~ "'
        order by accounts.clock, loads.clock
    ") -%}
    {%- for row in rows -%}
        {%- do loads.append({
            'load_id': row[0], 'clock': row[1], 'finished_at': row[2], 'row_count': row[3],
            'taken_at': row[4],
            'without': "
                select row_number from journal.verdicts
                where entity = '" ~ contract.name ~ "' and load_id = " ~ row[0]
                if row[5] == 'unloaded',
        }) -%}
    {%- endfor -%}
    {{ return(loads) }}
{%- endmacro %}

{#- What edits between two clocks left of their rows. -#}
{% macro replay_edits(contract, copy, after, before) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set key_type = contract.columns[key].data_type -%}
    {%- set others = content_columns(contract) | reject('equalto', key) | join(', ') -%}
    {%- do execute_sql('drop table if exists replayed') -%}
    {%- set replayed = execute_sql("
        create temporary table replayed on commit drop as
        select
            edits.key::" ~ key_type ~ " as _key,
            edits.operation = 'delete' as _is_deletion,
            edits.resets_ledger as _resets_ledger,
            edits.edited_at as updated_at,
            edits.edited_by as updated_by,
            image." ~ others | replace(', ', ', image.') ~ "
        from (
            select distinct on (key)
                key, operation, after, edited_at, edited_by,
                bool_or(resets_ledger) over (partition by key) as resets_ledger
            from (
                select
                    entity, clock, operation, after, edited_at, edited_by, resets_ledger, cause,
                    coalesce((
                        select new_key from journal.renamed_keys as renamed
                        where renamed.entity = edits.entity and renamed.old_key = edits.key
                    ), key) as key
                from journal.edits
            ) as edits
            where
                entity = '" ~ contract.name ~ "'
                and clock > " ~ after ~ " and clock <= " ~ before ~ "
                and cause is distinct from 'rejudge'
            order by key, clock desc
        ) as edits
        cross join lateral (" ~ image_as_row(contract, 'edits.after') ~ ") as image
    ") -%}
    {%- if replayed -%}
        {%- do execute_sql(
            'delete from ' ~ copy ~ ' where ' ~ key ~ ' in (select _key from replayed)'
        ) -%}
        {%- do execute_sql(
            'insert into ' ~ copy ~ ' (' ~ key ~ ', ' ~ others ~ ', updated_at, updated_by) select _key, '
            ~ others ~ ', updated_at, updated_by from replayed where not _is_deletion'
        ) -%}
        {%- do forget(contract, 'select _key from replayed where _resets_ledger') -%}
    {%- endif -%}
{%- endmacro %}

{#- How many rows would change, and the first of them. -#}
{% macro show_difference(contract) -%}
    {%- set counts = query("
        select operation, count(*) from difference group by operation order by operation
    ") -%}
    {%- if not counts -%}
        {{ log(contract.name ~ ': history judged again changes nothing', info=true) }}
    {%- endif -%}
    {%- for operation, rows in counts -%}
        {{ log(contract.name ~ ': ' ~ operation ~ ' ' ~ rows ~ ' rows', info=true) }}
    {%- endfor -%}
    {%- for row in query("
        select
            operation || ' ' || key || ': ' || coalesce(before::text || ' -> ', '')
            || coalesce(after::text, 'gone')
        from difference
        order by operation, key
        limit 20
    ") -%}
        {{ log('  ' ~ row[0], info=true) }}
    {%- endfor -%}
{%- endmacro %}
