{#- Computes ledger and rows again from raw rows, verdicts and journal, and applies
    the difference in place, so that readers never wait. "Changed 0 rows" is the
    proof that incremental builds and history agree.

    All is computed without the table's lock. Keys that are edited meanwhile are
    left alone: the edit is their last event. Where columns or constraints change nobody reads
    the table from then to the commit. -#}
{% macro recompute(contract, relation, is_new=false) -%}
    {%- set ledger = 'staging.' ~ contract.name ~ '__ledger' -%}
    {%- set state = 'staging.' ~ contract.name ~ '__state' -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set columns = contract.columns.keys() | join(', ') -%}
    {%- set snapshot = query('select pg_current_snapshot()::text')[0][0] -%}

    {%- do compute_state(contract, ledger, state) -%}
    {#- the table as it will be when its columns are the contract's -#}
    {%- set existing, retyped = columns_of(relation), other_types(contract, relation) -%}
    {%- set today = [] -%}
    {%- for name, column in contract.columns.items() -%}
        {%- do today.append(
            'null::' ~ column.data_type if name not in existing
            else value_as_typed('curated.' ~ name, name, column.data_type) if name in retyped
            else 'curated.' ~ name
        ) -%}
    {%- endfor -%}
    {%- do execute_sql("
        create temporary table difference on commit drop as
        select coalesce(curated." ~ key ~ ", state." ~ key ~ ") as key
        from " ~ relation ~ " as curated
        full join " ~ state ~ " as state on state." ~ key ~ " = curated." ~ key ~ "
        where
            (" ~ today | join(', ') ~ ")::text
            is distinct from (state." ~ columns | replace(', ', ', state.') ~ ")::text
    ") -%}

    {%- do lock_curated(relation) -%}
    {%- do refuse_unreadable_edits(contract, relation) -%}
    {%- do drop_outdated_constraints(contract, relation) if not is_new -%}
    {%- do alter_columns(contract, relation) -%}
    {%- do execute_sql("
        delete from difference
        using journal.edits
        where
            edits.entity = '" ~ contract.name ~ "'
            and edits.key = difference.key::text
            and " ~ is_unseen(snapshot) ~ "
    ") -%}
    {%- do execute_sql("
        insert into journal.vanished (entity, key)
        select '" ~ contract.name ~ "', key::text
        from difference
        where key not in (select " ~ key ~ " from " ~ state ~ ")
    ") -%}
    {%- do execute_sql(
        'delete from ' ~ relation ~ ' where ' ~ key ~ ' in (select key from difference)'
    ) -%}
    {%- set inserted = execute_sql(
        'insert into ' ~ relation ~ ' (' ~ columns ~ ') select ' ~ columns
        ~ ' from ' ~ state ~ ' where ' ~ key ~ ' in (select key from difference)'
    ) -%}
    {%- do replace_ledger(contract, ledger) -%}
    {%- do settle_references() -%}
    {%- do define_triggers_of_others(contract) if retyped -%}
    {%- set changed = query('select count(*) from difference')[0][0] -%}
    {%- do execute_sql('drop table ' ~ state ~ ', ' ~ ledger ~ ', difference') -%}
    {%- if flags.FULL_REFRESH or changed -%}
        {{ log(
            relation.identifier ~ ': recomputed from history, ' ~ changed ~ ' rows changed',
            info=true
        ) }}
    {%- endif -%}
{%- endmacro %}

{#- Makes tables of the ledger and of the last version of every key, as they follow from
    history. -#}
{% macro compute_state(contract, ledger, state) -%}
    {%- do refuse_other_types(contract, rows_of(contract)) -%}
    {%- do compute_ledger(contract, ledger) -%}
    {%- do execute_sql('analyze ' ~ ledger) -%}
    {%- do execute_sql(
        'create unlogged table ' ~ state ~ ' as ' ~ versions_sql(contract, ledger) ~ "
        select distinct on (_key) " ~ contract.columns.keys() | join(', ') ~ ", _is_deletion
        from versions
        order by _key, _clock desc
    ") -%}
    {%- do execute_sql('delete from ' ~ state ~ ' where _is_deletion') -%}
    {%- do execute_sql('analyze ' ~ state) -%}
{%- endmacro %}

{#- The ledger made equal to the one that follows from history. -#}
{% macro replace_ledger(contract, ledger) -%}
    {%- if not has_ledger(contract) -%}
        {%- do make_ledger(contract) -%}
    {%- endif -%}
    {%- set same = "(kept.key, kept.load_id, kept.row_number, kept.hash, kept.is_last)"
        ~ " = (made.key, made.load_id, made.row_number, made.hash, made.is_last)" -%}
    {%- do execute_sql("
        delete from " ~ ledger_of(contract) ~ " as kept
        where not exists (select from " ~ ledger ~ " as made where " ~ same ~ ")
    ") -%}
    {%- do execute_sql("
        insert into " ~ ledger_of(contract) ~ "
        select * from " ~ ledger ~ " as made
        where not exists (select from " ~ ledger_of(contract) ~ " as kept where " ~ same ~ ")
    ") -%}
{%- endmacro %}
