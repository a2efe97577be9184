{#- Settles what is left of a load and merges it: under the table's lock, so nothing
    changes meanwhile. Verdicts, rows, ledger and account are committed together or
    not at all. -#}
{% macro merge(contract, relation, load, account, snapshot) -%}
    {%- set staged = staged_of(contract) -%}
    {%- set key = key_of(contract)[0] -%}

    {%- do settle(contract, relation, load, account, snapshot) -%}
    {%- do account.update({'rejected': account.rejected + drop_rejected(staged)}) -%}

    {#- and the copies of a rejected row with it: they say the same -#}
    {%- set copies = execute_sql("
        insert into verdicts (row_number, rules)
        select copies.row_number, verdicts.rules
        from copies
        inner join verdicts on verdicts.row_number = copies.kept
        where copies.row_number <> copies.kept
    ") -%}
    {%- do account.update({
        'rejected': account.rejected + copies,
        'duplicates': account.duplicates - copies,
    }) -%}

    {%- set written_by = "'" ~ load.finished_at ~ "'::timestamptz, 'load " ~ load.load_id
        ~ " row ' || staged._row_number" -%}
    {%- do account.update({'changed': update_from(contract, relation, staged, written_by)}) -%}
    {%- set columns = content_columns(contract) -%}
    {%- do account.update({'new': execute_sql("
        insert into " ~ relation ~ " (" ~ columns | join(', ') ~ ", updated_at, updated_by)
        select staged." ~ columns | join(', staged.') ~ ", " ~ written_by ~ "
        from " ~ staged ~ " as staged
        where not exists (
            select from " ~ relation ~ " as curated where curated." ~ key ~ " = staged." ~ key ~ "
        )
    ")}) -%}

    {%- do say(contract, load, staged) -%}
    {%- do record(contract, load, account) if not contract.is_rehearsed -%}
    {%- do execute_sql(
        'drop table ' ~ staged ~ ', verdicts, doubts, repeated_keys, copies'
    ) -%}
{%- endmacro %}

{#- Makes verdicts of the doubts. Keys that were edited since the load was judged are
    looked at again; nearly always there are none. A row older than an edit of its
    key changes nothing, but it is what the source last said. -#}
{% macro settle(contract, relation, load, account, snapshot) -%}
    {%- set staged = staged_of(contract) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set edits = "journal.edits
        where
            edits.entity = '" ~ contract.name ~ "'
            and edits.clock > " ~ load.clock
            ~ (' and edits.clock < ' ~ load.taken_at if load.taken_at) -%}
    {%- do account.update({'superseded': 0}) -%}
    {%- if query('select exists (select from ' ~ edits ~ ')')[0][0] -%}
        {%- do execute_sql("
            create temporary table superseded on commit drop as
            select * from " ~ staged ~ "
            where " ~ key ~ "::text in (select edits.key from " ~ edits ~ ")
        ") -%}
        {%- do account.update({'superseded': execute_sql(
            'delete from ' ~ staged ~ ' where _row_number in (select _row_number from superseded)'
        )}) -%}
        {%- do say(contract, load, 'superseded') -%}
        {%- do execute_sql('drop table superseded') -%}

        {%- set edited = "select edits.key::" ~ contract.columns[key].data_type ~ " from " ~ edits
            ~ " and not pg_visible_in_snapshot(edits.transaction_id, '" ~ snapshot ~ "')" -%}
        {%- do execute_sql('delete from doubts where holder in (' ~ edited ~ ')') -%}
        {%- do doubt(
            contract, relation, staged, ' and curated.' ~ key ~ ' in (' ~ edited ~ ')'
        ) -%}
    {%- endif -%}
    {%- do execute_sql("
        insert into verdicts
        select row_number, rules from doubts
        where row_number in (select _row_number from " ~ staged ~ ")
    ") -%}
{%- endmacro %}

{#- Updates curated rows from others of the same keys; how many. -#}
{% macro update_from(contract, relation, source, written_by) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set columns = content_columns(contract) | reject('equalto', key) | list -%}
    {{ return(execute_sql("
        update " ~ relation ~ " as curated
        set
            (" ~ columns | join(', ') ~ ", updated_at, updated_by, _transaction_id)
            = row(staged." ~ columns | join(', staged.') ~ ", " ~ written_by ~ ", pg_current_xact_id())
        from " ~ source ~ " as staged
        where curated." ~ key ~ " = staged." ~ key
    )) }}
{%- endmacro %}

{#- Writes accepted rows into the ledger: the last word on their keys. -#}
{% macro say(contract, load, source) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- do execute_sql("
        update " ~ ledger_of(contract) ~ " as ledger set is_last = false
        from " ~ source ~ " as said
        where ledger.key = said." ~ key ~ " and ledger.is_last and said._last_hash is not null
    ") -%}
    {%- do execute_sql("
        insert into " ~ ledger_of(contract) ~ " (key, load_id, row_number, hash, is_last)
        select " ~ key ~ ", " ~ load.load_id ~ ", _row_number, _hash, true from " ~ source
    ) -%}
{%- endmacro %}

{#- Verdicts and account: the load is done. -#}
{% macro record(contract, load, account) -%}
    {%- do execute_sql("
        insert into journal.verdicts (entity, load_id, row_number, rules)
        select
            '" ~ contract.name ~ "', " ~ load.load_id ~ ", row_number,
            array_agg(distinct rule order by rule)
        from verdicts, unnest(rules) as rule
        group by row_number
    ") -%}
    {%- do execute_sql("
        insert into journal.accounts (
            entity, load_id, rows, new, changed, unchanged, superseded, duplicates,
            rejected, rules, repairs, warnings
        )
        select
            '" ~ contract.name ~ "', load_id, row_count,
            " ~ account.new ~ ", " ~ account.changed ~ ", " ~ account.unchanged ~ ",
            " ~ account.superseded ~ ", " ~ account.duplicates ~ ", " ~ account.rejected ~ ",
            " ~ rules_counted('verdicts') ~ ",
            '" ~ account.repairs ~ "', '" ~ account.warnings ~ "'
        from raw.loads
        where load_id = " ~ load.load_id
    ) -%}
{%- endmacro %}

{#- {rule: rows that broke it}. -#}
{% macro rules_counted(verdicts) -%}
    coalesce((
        select jsonb_object_agg(rule, broken)
        from (
            select rule, count(distinct row_number) as broken
            from {{ verdicts }}, unnest(rules) as rule
            group by rule
        ) as counted
    ), '{}')
{%- endmacro %}

{#- Columns that hang on another by a functional dependency: a null in a later
    load does not erase them. -#}
{% macro dependent_columns(contract) -%}
    {%- set columns = [] -%}
    {%- for rule in contract_rules(contract) if rule.kind == 'dependency' -%}
        {%- do columns.extend(rule.dependent) -%}
    {%- endfor -%}
    {{ return(columns | unique | list) }}
{%- endmacro %}
