{#- A curated table: filled by loads, edited through the API, never dropped.

    The model's SQL gives one row per row of its sources, with the columns of
    the contract and what staging says of each row (provenance, _problems). It
    is never run over the whole source but for a recomputation.

    1. The table is made, or made equal to its contract.
    2. Under --full-refresh, or where the table was missing, all that was ever
       accepted is computed again from raw rows, verdicts and journal, and the
       difference is applied in place.
    3. Pending loads are taken one after another, in clock order: each is staged
       and judged, then merged under the table's lock, in one transaction.

    A new table is seen by nobody before it is committed: its constraints and
    indexes are made after its first load, at once instead of row by row.

    Why each step is as it is: docs/architecture.md. -#}
{% materialization curated, adapter='postgres' %}
    {%- set contract = model -%}
    {%- set relation = this.incorporate(type='table') -%}

    {%- do refuse_unsupported(contract) -%}

    {{ run_hooks(pre_hooks) }}

    {%- do begin_build(contract) -%}
    {%- if make_curated_table(contract, relation) -%}
        {%- do recompute(contract, relation) -%}
        {%- for load in pending_loads(contract)[:1] -%}
            {%- do take(contract, relation, load) -%}
        {%- endfor -%}
        {%- do apply_constraints(contract, relation, is_new=true) -%}
        {%- do add_ledger_key(contract) -%}
    {%- else -%}
        {%- do apply_constraints(contract, relation) -%}
        {%- if flags.FULL_REFRESH -%}
            {%- do adapter.commit() -%}
            {%- do begin_build(contract) -%}
            {%- do recompute(contract, relation) -%}
        {%- endif -%}
    {%- endif -%}
    {%- do adapter.commit() -%}

    {%- for load in pending_loads(contract) -%}
        {%- do begin_build(contract) -%}
        {#- another build may have taken it while this one waited -#}
        {%- if is_pending(contract, load.load_id) -%}
            {%- do take(contract, relation, load) -%}
        {%- endif -%}
        {%- do adapter.commit() -%}
    {%- endfor -%}

    {%- call noop_statement('main', 'OK') -%}{{ sql }}{%- endcall -%}

    {%- do persist_docs(relation, model) -%}
    {{ run_hooks(post_hooks) }}
    {{ return({'relations': [relation]}) }}
{% endmaterialization %}

{#- What the engine does not do is said before it does anything. -#}
{% macro refuse_unsupported(contract) -%}
    {%- set faults = [] -%}
    {%- if flags.EMPTY -%}
        {%- do faults.append('--empty would empty the table') -%}
    {%- endif -%}
    {%- set key = key_of(contract) -%}
    {%- set key_type = contract.columns[key[0]].data_type -%}
    {%- if key | length > 1 -%}
        {%- do faults.append('a primary key has one column') -%}
    {%- elif key_type not in ('uuid', 'text', 'smallint', 'integer', 'bigint') -%}
        {#- the journal knows keys by their text, so a key has one text only -#}
        {%- do faults.append('a key is uuid, text or an integer, not ' ~ key_type) -%}
    {%- endif -%}
    {%- for name, column in contract.columns.items() -%}
        {%- for constraint in column.constraints if constraint.type != 'not_null' -%}
            {%- do faults.append(
                'write the ' ~ constraint.type ~ ' of ' ~ name ~ ' at model level'
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for rule in contract_rules(contract) -%}
        {%- if not modules.re.fullmatch('[a-z][a-z0-9_]*', rule.name) -%}
            {%- do faults.append('a rule is named in lower case, not ' ~ rule.name) -%}
        {%- endif -%}
        {%- do constraint_of(contract, rule) if rule.kind == 'dependency' -%}
    {%- endfor -%}
    {%- if faults -%}
        {{ exceptions.raise_compiler_error(contract.name ~ ': ' ~ faults | join('; ') ~ '.') }}
    {%- endif -%}
{%- endmacro %}

{#- Begins a transaction in which builds of one entity wait for each other, before
    either has touched the table. dbt commits behind the driver's back, which
    then does not begin a transaction of its own: hence the explicit begin. -#}
{% macro begin_build(contract) -%}
    {%- do execute_sql(
        "begin; select pg_advisory_xact_lock(hashtextextended('build " ~ contract.name ~ "', 0))"
    ) -%}
{%- endmacro %}

{#- Judges a load without the lock, then merges it under the lock. -#}
{% macro take(contract, relation, load) -%}
    {%- set account = judge(contract, load) -%}
    {%- do lock_curated(relation) -%}
    {%- do merge(contract, relation, load, account) -%}
{%- endmacro %}

{#- Writers wait from here to the end of the transaction; readers never do. -#}
{% macro lock_curated(relation) -%}
    {%- do execute_sql('lock table ' ~ relation ~ ' in share row exclusive mode') -%}
{%- endmacro %}

{#- Makes the table and its ledger, or adds what is new in the contract. Returns
    whether the table was missing. -#}
{% macro make_curated_table(contract, relation) -%}
    {%- set existing = query("
        select attname from pg_catalog.pg_attribute
        where attrelid = to_regclass('" ~ relation ~ "') and attnum > 0 and not attisdropped
    ") | map(attribute=0) | list -%}

    {%- if not existing -%}
        {%- set columns = [] -%}
        {%- for name, column in contract.columns.items() -%}
            {%- do columns.append(adapter.quote(name) ~ ' ' ~ column.data_type) -%}
        {%- endfor -%}
        {%- do execute_sql(
            'create schema if not exists ' ~ relation.schema ~ ';'
            ~ ' create table ' ~ relation ~ ' (' ~ columns | join(', ') ~ ')'
        ) -%}
    {%- else -%}
        {%- for name, column in contract.columns.items() if name not in existing -%}
            {%- do execute_sql(
                'alter table ' ~ relation ~ ' add column ' ~ adapter.quote(name)
                ~ ' ' ~ column.data_type
            ) -%}
            {{ log(relation.identifier ~ ': added column ' ~ name, info=true) }}
        {%- endfor -%}
    {%- endif -%}

    {#- Of each key the hash of the last row that was accepted, also of keys that
        were since edited or deleted: what the source last said. -#}
    {%- do execute_sql(
        'create table if not exists ' ~ ledger_of(contract)
        ~ ' (key ' ~ contract.columns[key_of(contract)[0]].data_type ~ ' not null, hash uuid not null)'
    ) -%}
    {{ return(not existing) }}
{%- endmacro %}

{% macro ledger_of(contract) -%}
    journal.ledger_{{ contract.name }}
{%- endmacro %}

{#- Made after the first load, like the constraints of the table. -#}
{% macro add_ledger_key(contract) -%}
    {%- do execute_sql(
        'alter table ' ~ ledger_of(contract) ~ ' add primary key (key)'
    ) if not query("
        select exists (
            select from pg_catalog.pg_constraint
            where conrelid = '" ~ ledger_of(contract) ~ "'::regclass and contype = 'p'
        )
    ")[0][0] -%}
{%- endmacro %}

{#- The source tables, `<source>.<table>`, whose loads feed a node. -#}
{% macro source_tables_of(node) -%}
    {%- set found = [] -%}
    {%- for parent in node.depends_on.nodes -%}
        {%- if parent in graph.sources -%}
            {%- set source = graph.sources[parent] -%}
            {%- if source.config.meta.load is defined -%}
                {%- do found.append(source.source_name ~ '.' ~ source.name) -%}
            {%- endif -%}
        {%- elif parent in graph.nodes -%}
            {%- do found.extend(source_tables_of(graph.nodes[parent])) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found | unique | list) }}
{%- endmacro %}

{#- Loads that the entity has not taken yet, in clock order. -#}
{% macro pending_loads(contract) -%}
    {%- set loads = [] -%}
    {%- set rows = query("
        select load_id, clock, finished_at::text
        from raw.loads
        where state = 'loaded'
            and source_table = any(array['" ~ source_tables_of(contract) | join("', '") ~ "']::text[])
            and not exists (
                select from journal.accounts
                where accounts.entity = '" ~ contract.name ~ "' and accounts.load_id = loads.load_id
            )
        order by clock
    ") -%}
    {%- for row in rows -%}
        {%- do loads.append({'load_id': row[0], 'clock': row[1], 'finished_at': row[2]}) -%}
    {%- endfor -%}
    {{ return(loads) }}
{%- endmacro %}

{% macro is_pending(contract, load_id) -%}
    {{ return(not query(
        "select exists (select from journal.accounts where entity = '" ~ contract.name
        ~ "' and load_id = " ~ load_id ~ ")"
    )[0][0]) }}
{%- endmacro %}
