{#- Writes a load into curated and ledger. Verdicts, rows, ledger and account are
    committed together or not at all. -#}

{#- Before the lock: the rows of new keys, and what the source said. Rows in doubt wait. -#}
{% macro write_new(contract, relation, load, account) -%}
    {%- set doubted = execute_sql(
        'create temporary table doubted on commit drop as select distinct row_number from doubts'
    ) -%}
    {%- set undoubted = 'where _row_number not in (table doubted)' -%}
    {%- set insert = insert_sql(contract, relation, load, undoubted ~ ' and _is_new') -%}
    {%- do say(contract, load, '(select * from ' ~ staged_of(contract) ~ ' ' ~ undoubted ~ ')') -%}
    {%- do execute_sql("
        do $do$
        declare inserted bigint;
        begin
            begin
                " ~ insert ~ ";
                get diagnostics inserted = row_count;
                " ~ judge_uniqueness(relation) ~ "
                perform set_config('assay.left_over', '" ~ doubted ~ "', true);
            exception when unique_violation or exclusion_violation or deadlock_detected then
                -- an edit took one of the identifiers since the load was judged
                inserted := 0;
                perform set_config('assay.left_over', '1', true);
            end;
            perform set_config('assay.inserted', inserted::text, true);
        end $do$
    ") -%}
    {%- do account.update({
        'new': query("select current_setting('assay.inserted')::bigint")[0][0],
    }) -%}
{%- endmacro %}

{#- SQL: judges now what is unique. What refers to other tables waits for the end. -#}
{% macro judge_uniqueness(relation) -%}
    {%- set names = query("
        select string_agg(connamespace::regnamespace || '.' || quote_ident(conname), ', ')
        from pg_catalog.pg_constraint
        where
            conrelid = to_regclass('" ~ relation ~ "')
            and contype in ('u', 'x')
            and condeferrable
    ")[0][0] -%}
    {%- if names -%}
    set constraints {{ names }} immediate;
    set constraints {{ names }} deferred;
    {%- endif -%}
{%- endmacro %}

{% macro insert_sql(contract, relation, load, condition) -%}
    {%- set columns = content_columns(contract) | join(', ') -%}
    insert into {{ relation }} ({{ columns }}, updated_at, updated_by)
    select {{ columns }}, {{ written_by(load) }}
    from {{ staged_of(contract) }} as staged
    {{ condition }}
{%- endmacro %}

{% macro written_by(load) -%}
    '{{ load.finished_at }}'::timestamptz, 'load {{ load.load_id }} row ' || staged._row_number
{%- endmacro %}

{#- Under the lock, so nothing changes meanwhile. -#}
{% macro merge(contract, relation, load, account, snapshot) -%}
    {%- set staged = staged_of(contract) -%}
    {%- set key = key_of(contract)[0] -%}

    {%- do settle(contract, relation, load, account, snapshot) -%}
    {%- do account.update({'rejected': account.rejected + drop_rejected(staged)}) -%}

    {#- and the copies of a rejected row with it: they say the same, each once however many
        verdicts that one has -#}
    {%- set copies = execute_sql("
        insert into verdicts (row_number, rules)
        select copies.row_number, array_agg(rule)
        from copies
        inner join verdicts on verdicts.row_number = copies.kept
        cross join unnest(verdicts.rules) as rule
        where copies.row_number <> copies.kept
        group by copies.row_number
    ") -%}
    {%- do account.update({
        'rejected': account.rejected + copies,
        'duplicates': account.duplicates - copies,
    }) -%}

    {%- do account.update({'changed': execute_sql("
        update " ~ relation ~ " as curated
        set " ~ assignments(contract, 'staged', written_by(load)) ~ "
        from " ~ staged ~ " as staged
        where curated." ~ key ~ " = staged." ~ key ~ " and not staged._is_new
    ")}) -%}
    {%- if query("select current_setting('assay.left_over') <> '0'")[0][0] -%}
        {%- do say(
            contract, load,
            '(select * from ' ~ staged ~ ' where _row_number in (table doubted))'
        ) -%}
        {%- do account.update({'new': account.new + execute_sql(insert_sql(contract, relation, load, "
            where _is_new and not exists (
                select from " ~ relation ~ " as curated where curated." ~ key ~ " = staged." ~ key ~ "
            )
        "))}) -%}
    {%- endif -%}

    {%- do record(contract, load, account) if not contract.is_rehearsed -%}
    {%- do execute_sql(
        'drop table ' ~ staged
        ~ ', verdicts, doubts, doubted, repeated_keys, copies, proposed, places, spoken, claims'
    ) -%}
{%- endmacro %}

{#- Makes verdicts of the doubts, after a second look where something was edited since the
    load was finished; nearly always nothing was. -#}
{% macro settle(contract, relation, load, account, snapshot) -%}
    {%- set staged = staged_of(contract) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set edits = "journal.edits
        where
            edits.entity = '" ~ contract.name ~ "'
            and edits.clock > " ~ load.clock
            ~ (' and edits.clock <= ' ~ load.taken_at if load.taken_at) -%}
    {%- do account.update({'superseded': 0}) -%}
    {%- if query('select exists (select from ' ~ edits ~ ')')[0][0] -%}
        {#- A row older than an edit of its key changes nothing, but it is what the
            source last said. -#}
        {%- do execute_sql("
            create temporary table superseded on commit drop as
            select * from " ~ staged ~ "
            where " ~ key ~ "::text in (select edits.key from " ~ edits ~ ")
        ") -%}
        {%- do account.update({'superseded': execute_sql(
            'delete from ' ~ staged ~ ' where _row_number in (select _row_number from superseded)'
        )}) -%}
        {%- do say(
            contract, load, '(select * from superseded where _row_number in (table doubted))'
        ) -%}
        {%- do unwrite(contract, relation, account, 'superseded') -%}

        {#- What an edit changed since then may no longer be in the way of a row, or be
            now. -#}
        {%- set edited = "select edits.key::" ~ contract.columns[key].data_type ~ " from " ~ edits
            ~ ' and ' ~ is_unseen(snapshot) -%}
        {%- do execute_sql('delete from doubts where holder in (' ~ edited ~ ')') -%}
        {%- do doubt(
            contract, relation, staged, ' and curated.' ~ key ~ ' in (' ~ edited ~ ')'
        ) -%}
        {#- of many rows that have a link one was named as its holder -#}
        {%- do execute_sql("
            delete from doubts
            where holder is not null
                and rules <@ array['" ~ links_of(contract) | map(attribute='name') | join("', '") ~ "']
        ") -%}
        {%- do doubt_links(contract, relation, staged) -%}
        {%- do refuse(contract, relation, load, account) -%}
        {%- do execute_sql('drop table superseded') -%}
    {%- endif -%}
    {%- do settle_exchanges(contract, relation, staged, load, account) -%}
    {%- do execute_sql("
        insert into verdicts
        select row_number, rules from doubts
        where not is_exchange and row_number in (select _row_number from " ~ staged ~ ")
    ") -%}
{%- endmacro %}

{#- Takes back what was done with rows that came into doubt since. -#}
{% macro refuse(contract, relation, load, account) -%}
    {%- do execute_sql("
        create temporary table refused on commit drop as
        select * from " ~ staged_of(contract) ~ "
        where
            _row_number in (select row_number from doubts where not is_exchange)
            and _row_number not in (table doubted)
    ") -%}
    {%- do unwrite(contract, relation, account, 'refused') -%}
    {%- do unsay(contract, load, 'refused') -%}
    {%- do execute_sql('insert into doubted select _row_number from refused') -%}
    {%- do execute_sql('drop table refused') -%}
{%- endmacro %}

{#- Takes rows out again that this transaction wrote before the lock. -#}
{% macro unwrite(contract, relation, account, rows) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- do account.update({'new': account.new - execute_sql("
        delete from " ~ relation ~ " as curated using " ~ rows ~ " as unwritten
        where
            curated." ~ key ~ " = unwritten." ~ key ~ "
            and unwritten._is_new
            and curated._transaction_id = pg_current_xact_id()
    ")}) -%}
{%- endmacro %}

{#- Assignments that make a curated row that of another relation. -#}
{% macro assignments(contract, source, written_by) -%}
    {%- set columns = content_columns(contract) -%}
    ({{ columns | join(', ') }}, updated_at, updated_by, _transaction_id)
    = row({{ source }}.{{ columns | join(', ' ~ source ~ '.') }}, {{ written_by }}, pg_current_xact_id())
{%- endmacro %}

{#- Writes accepted rows into the ledger: the last word on their keys. -#}
{% macro say(contract, load, rows) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- do execute_sql("
        update " ~ ledger_of(contract) ~ " as ledger set is_last = false
        from " ~ rows ~ " as said
        where
            ledger.key = said." ~ key ~ " and ledger.load_id = said._last_load_id and ledger.is_last
    ") -%}
    {%- do execute_sql("
        insert into " ~ ledger_of(contract) ~ " (key, load_id, row_number, hash, is_last)
        select " ~ key ~ ", " ~ load.load_id ~ ", _row_number, _hash, true from " ~ rows ~ " as said
    ") -%}
{%- endmacro %}

{% macro unsay(contract, load, rows) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- do execute_sql("
        delete from " ~ ledger_of(contract) ~ " as ledger using " ~ rows ~ " as unsaid
        where ledger.key = unsaid." ~ key ~ " and ledger.load_id = " ~ load.load_id
    ) -%}
    {%- do execute_sql("
        update " ~ ledger_of(contract) ~ " as ledger set is_last = true
        from " ~ rows ~ " as unsaid
        where ledger.key = unsaid." ~ key ~ " and ledger.load_id = unsaid._last_load_id
    ") -%}
{%- endmacro %}

{#- Verdicts and account: the load is done. -#}
{% macro record(contract, load, account) -%}
    {%- do execute_sql("
        insert into journal.verdicts (entity, load_id, row_number, rules, proposals)
        select
            '" ~ contract.name ~ "', " ~ load.load_id ~ ", row_number,
            array_agg(distinct rule order by rule), coalesce(min(proposals), '{}')
        from verdicts
        cross join unnest(rules) as rule
        left join proposed using (row_number)
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
