{#- A curated table: filled by loads, edited through the API, never dropped.

    The model's SQL gives one row per row of its sources, with the columns of
    the contract and what staging says of each row (provenance, _problems). It
    is never run over the whole source but for a recomputation.

    1. The table is made, or made equal to its contract.
    2. Under --full-refresh, or where a column is new, all that was ever accepted
       is computed again from raw rows, verdicts and journal, and the difference
       is applied in place.
    3. Pending loads are taken one after another, in clock order: each is staged
       and judged, then merged under the table's lock, in one transaction.

    A new table is seen by nobody before it is committed: its constraints and
    indexes are made after its first load, at once instead of row by row.

    Why each step is as it is: docs/architecture.md. -#}
{% materialization curated, adapter='postgres' %}
    {%- set contract = model -%}
    {%- set relation = this.incorporate(type='table') -%}

    {%- do refuse_unsupported(contract) -%}
    {%- if is_dry_run() -%}
        {{ return(make_curated_in_dry_schema(contract, relation, sql)) }}
    {%- endif -%}

    {{ run_hooks(pre_hooks) }}

    {%- do begin_build(contract) -%}
    {%- do define_view(rows_of(contract), sql) -%}
    {%- do adapter.commit() -%}

    {%- do begin_build(contract) -%}
    {%- set is_new = make_curated_table(contract, relation) -%}
    {%- set is_recomputed = (
        is_new or flags.FULL_REFRESH or differing_columns(contract, relation) or not has_ledger(contract)
    ) -%}
    {%- do account_for_history(contract, is_recomputed) -%}
    {%- do define_computed_keys(contract) -%}
    {%- if is_new -%}
        {%- do recompute(contract, relation, is_new) -%}
        {%- do add_indexes_of_links(contract, relation) -%}
        {%- for load in pending_loads(contract)[:1] -%}
            {%- do take(contract, relation, load) -%}
        {%- endfor -%}
        {%- do add_ledger_key(contract) -%}
    {%- elif is_recomputed -%}
        {%- do recompute(contract, relation) -%}
        {%- do add_ledger_key(contract) -%}
    {%- else -%}
        {%- do drop_outdated_constraints(contract, relation) -%}
    {%- endif -%}
    {%- do add_missing_constraints(contract, relation, is_new) -%}
    {%- do add_missing_indexes(contract, relation) -%}
    {%- do define_search_index(contract, relation) -%}
    {%- do define_triggers(contract, relation) -%}
    {%- do define_versions(contract) -%}
    {%- do adapter.commit() -%}

    {%- do take_pending(contract, relation) -%}

    {%- call noop_statement('main', 'OK') -%}{{ sql }}{%- endcall -%}

    {%- do persist_docs(relation, model) -%}
    {{ run_hooks(post_hooks) }}
    {{ return({'relations': [relation]}) }}
{% endmaterialization %}

{#- Begins a transaction in which builds of one entity wait for each other, before
    either has touched the table. dbt commits behind the driver's back, which
    then does not begin a transaction of its own: hence the explicit begin. Foreign keys
    are judged at its end, since rows go before they come again. -#}
{% macro begin_build(contract) -%}
    {%- do execute_sql('begin; set constraints all deferred') -%}
    {%- do wait_for_turn('build ' ~ contract.name) -%}
{%- endmacro %}

{#- Judges foreign keys now: a table that waits for it cannot be altered. -#}
{% macro settle_references() -%}
    {%- do execute_sql('set constraints all immediate; set constraints all deferred') -%}
{%- endmacro %}

{#- Takes what the entity has not taken yet, each load in a transaction of its own. -#}
{% macro take_pending(contract, relation) -%}
    {%- for listed in pending_loads(contract) -%}
        {%- do begin_build(contract) -%}
        {#- another build may have taken it while this one waited, or given it another clock -#}
        {%- for load in pending_loads(contract) if load.load_id == listed.load_id -%}
            {%- do take(contract, relation, load) -%}
        {%- endfor -%}
        {%- do adapter.commit() -%}
    {%- endfor -%}
{%- endmacro %}

{#- Judges and merges a load. All that can be done before the lock is: rows of new keys
    are written before it too, since nobody sees them before the commit, and whoever
    writes the same key or identifier waits for that. -#}
{% macro take(contract, relation, load) -%}
    {%- do wait_for_writers(relation) -%}
    {%- set snapshot = query('select pg_current_snapshot()::text')[0][0] -%}
    {%- set account = judge(contract, relation, load) -%}
    {%- do judge_against_curated(contract, relation, load) -%}
    {%- do write_new(contract, relation, load, account) -%}
    {%- do lock_curated(relation) -%}
    {%- do merge(contract, relation, load, account, snapshot) -%}
{%- endmacro %}

{#- Until who writes now is done: so every edit with a clock below that of a load, or of
    anything else that was read before, is seen from here on. The lock is given back
    at once. -#}
{% macro wait_for_writers(relation) -%}
    {%- do execute_sql("
        do $do$
        begin
            lock table " ~ relation ~ " in share row exclusive mode;
            raise 'back';
        exception when raise_exception then null;
        end $do$
    ") -%}
{%- endmacro %}

{#- SQL: an edit that a snapshot did not show. One of a transaction yet to come was
    restored from the dump of another server. -#}
{% macro is_unseen(snapshot) -%}
    not pg_visible_in_snapshot(edits.transaction_id, '{{ snapshot }}')
    and edits.transaction_id < pg_snapshot_xmax(pg_current_snapshot())
{%- endmacro %}

{#- Writers wait from here to the end of the transaction; readers never do.

    A writer that waits for a row of this transaction has a lock on the table too, so
    each would wait for the other: such a statement is ended (the API begins it
    again, and then it waits for the lock like all others). One that slips in between
    shows as a deadlock after a second. -#}
{% macro lock_curated(relation) -%}
    {%- do execute_sql("
        do $do$
        begin
            for attempt in 1..20 loop
                begin
                    perform pg_cancel_backend(pid)
                    from pg_locks
                    where
                        relation = '" ~ relation ~ "'::regclass
                        and mode = 'RowExclusiveLock'
                        and pg_backend_pid() = any(pg_blocking_pids(pid));
                    lock table " ~ relation ~ " in share row exclusive mode;
                    return;
                exception when deadlock_detected then null;
                end;
            end loop;
            raise 'writers of " ~ relation.identifier ~ " and this build wait for each other; build again';
        end $do$
    ") -%}
{%- endmacro %}

{#- Changes a table as only who is alone with it may. Who asks for it in vain waits a second at
    most: behind him all readers would wait too, for as long as somebody else reads. An export,
    which reads longest, has five minutes. -#}
{% macro change_table(relation, sql) -%}
    {%- do execute_sql("
        do $do$
        declare
            patience text := current_setting('lock_timeout');
        begin
            for attempt in 1..300 loop
                begin
                    perform set_config('lock_timeout', '1s', true);
                    lock table " ~ relation ~ " in access exclusive mode;
                    perform set_config('lock_timeout', patience, true);
                    return;
                exception when lock_not_available or deadlock_detected then
                    perform pg_sleep(1);
                end;
            end loop;
            raise '" ~ relation.identifier ~ " is read without end; end who reads it, then build again';
        end $do$
    ") -%}
    {%- do execute_sql(sql) -%}
{%- endmacro %}

{#- Loads that the entity has not taken yet, in clock order. One that came after this run took
    samples back waits for the next run, which takes those of its source back first: else its rows
    would be judged against theirs, and be gone with them. -#}
{% macro pending_loads(contract) -%}
    {%- set loads = [] -%}
    {%- set rows = query("
        select load_id, clock, finished_at::text, row_count
        from raw.loads
        where state = 'loaded'
            and source_table = any(array['" ~ source_tables_of(contract) | join("', '") ~ "']::text[])
            and not exists (
                select from journal.accounts
                where accounts.entity = '" ~ contract.name ~ "' and accounts.load_id = loads.load_id
            )
            and (is_sample or not exists (
                select from raw.loads as sample
                where
                    sample.is_sample
                    and sample.state = 'loaded'
                    and split_part(sample.source_table, '.', 1)
                    = split_part(loads.source_table, '.', 1)
            ))
        order by clock
    ") -%}
    {%- for row in rows -%}
        {%- do loads.append({
            'load_id': row[0], 'clock': row[1], 'finished_at': row[2], 'row_count': row[3],
        }) -%}
    {%- endfor -%}
    {{ return(loads) }}
{%- endmacro %}

{% macro is_pending(contract, load_id) -%}
    {{ return(query("
        select
            exists (select from raw.loads where load_id = " ~ load_id ~ " and state = 'loaded')
            and not exists (
                select from journal.accounts
                where entity = '" ~ contract.name ~ "' and load_id = " ~ load_id ~ "
            )
    ")[0][0]) }}
{%- endmacro %}

{#- The source tables, `<source>.<table>`, whose loads feed a node. What a curated model
    refers to does not feed it. -#}
{% macro source_tables_of(node) -%}
    {%- set found = [] -%}
    {%- for parent in node.depends_on.nodes -%}
        {%- if parent in graph.sources -%}
            {%- set source = graph.sources[parent] -%}
            {%- if source.config.meta.load is defined -%}
                {%- do found.append(source.source_name ~ '.' ~ source.name) -%}
            {%- endif -%}
        {%- elif parent in graph.nodes and graph.nodes[parent].config.materialized != 'curated' -%}
            {%- do found.extend(source_tables_of(graph.nodes[parent])) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found | unique | list) }}
{%- endmacro %}

{#- A source table by its name. -#}
{% macro source_node(source_table) -%}
    {%- for source in graph.sources.values() if source.source_name ~ '.' ~ source.name == source_table -%}
        {{ return(source) }}
    {%- endfor -%}
{%- endmacro %}

{#- Its raw table. -#}
{% macro source_of(source_table) -%}
    {%- set source = source_node(source_table) -%}
    {{ return(source.schema ~ '.' ~ source.identifier) }}
{%- endmacro %}
