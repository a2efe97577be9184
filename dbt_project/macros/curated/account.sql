{#- What is computed from history again is computed by today's staging. Before that changes
    anything, the account of the rows that it reads: all that were loaded, each once, under
    the keys that history knows. -#}

{#- What a build looks at before it changes a table that has a history: its rows where it is to
    be recomputed or is read in another way than before, its keys in the latter case. -#}
{% macro account_for_history(contract, is_recomputed) -%}
    {%- set is_known = is_read_as_before(contract) -%}
    {%- do refuse_lost_rows(contract) if is_recomputed or not is_known -%}
    {%- do refuse_other_keys(contract) if has_ledger(contract) and not is_known -%}
    {%- set retyped = other_types(contract, relation_of(contract)) -%}
    {%- do remember_reading(contract, retyped) if retyped or not is_known -%}
{%- endmacro %}

{#- Every load that the entity has taken gives the rows that raw.loads counted, or nothing
    changes: a row that staging loses would be deleted with its history. -#}
{% macro refuse_lost_rows(contract) -%}
    {%- set taken = "
        select load_id from journal.accounts where entity = '" ~ contract.name ~ "'
    " -%}
    {%- if query('select exists (' ~ taken ~ ')')[0][0] -%}
        {#- rows that staging works out one by one are all different: nothing to remember -#}
        {%- do execute_sql('set local enable_memoize = off') -%}
        {%- do refuse_lost_rows_of(contract, rows_of(contract), taken) -%}
    {%- endif -%}
{%- endmacro %}

{#- The same of some loads, by the numbers of their rows: as many, and the same ones. `rows` is
    what staging made of them, a relation with `_load_id` and `_row_number`. -#}
{% macro refuse_lost_rows_of(contract, rows, loads) -%}
    {%- set counted = "
        select
            _load_id as load_id,
            count(*) as rows,
            sum(_row_number) as numbers,
            bit_xor(hashint8extended(_row_number, 0)) as mixed
        from {} as counted
        where _load_id in (" ~ loads ~ ")
        group by _load_id
    " -%}
    {%- set raw = [] -%}
    {%- for source_table in source_tables_of(contract) -%}
        {%- do raw.append(counted.format(source_of(source_table))) -%}
    {%- endfor -%}
    {%- set lost = query("
        select
            format(
                'load %s (%s): %s of its %s rows', loads.load_id, loads.file_name,
                coalesce(staged.rows, 0), loads.row_count
            ),
            coalesce(raw.rows, 0) <> loads.row_count,
            coalesce(staged.rows, 0) = loads.row_count
        from raw.loads
        left join (" ~ raw | join(' union all ') ~ ") as raw using (load_id)
        left join (" ~ counted.format(rows) ~ ") as staged using (load_id)
        where
            loads.load_id in (" ~ loads ~ ")
            and loads.row_count > 0
            and (
                raw.rows is distinct from loads.row_count
                or (raw.rows, raw.numbers, raw.mixed)
                is distinct from (staged.rows, staged.numbers, staged.mixed)
            )
        order by loads.load_id
        limit 20
    ") if raw else [] -%}
    {%- if lost -%}
        {%- set loads = lost | map(attribute=0) | join('; ') -%}
        {%- set why = 'raw has not what the loader counted: restore it from a backup'
            if lost[0][1] else
            'the staging of ' ~ contract.name ~ ' gives ' ~ ('some rows twice and others not at all'
            if lost[0][2] else 'fewer or more rows than were loaded')
            ~ ': it has one row for each row of raw, without a `where`, a `join` or a `distinct`.'
            ~ ' Mend it, and build it with the model: `dbt build --select +' ~ contract.name ~ '`' -%}
        {{ exceptions.raise_compiler_error(
            contract.name ~ ': nothing was changed, since ' ~ loads ~ ' would be left. ' ~ why ~ '.'
        ) }}
    {%- endif -%}
{%- endmacro %}

{#- What makes a row of the entity out of one of raw, in 32 characters: the views that it goes
    through, each with the fingerprint of its text as its comment, and the functions that they
    may call. -#}
{% macro fingerprint_of_reading(contract) -%}
    {%- set views = [rows_of(contract)] -%}
    {%- for view in views_above(contract) -%}
        {%- do views.append(view.schema ~ '.' ~ view.alias) -%}
    {%- endfor -%}
    {{ return(query("
        select md5(concat(
            (
                select string_agg(obj_description(to_regclass(name), 'pg_class'), ' ' order by name)
                from unnest(array['" ~ views | join("', '") ~ "']) as name
            ),
            (
                select string_agg(prosrc, ' ' order by proname, oid)
                from pg_catalog.pg_proc
                where
                    pronamespace = 'public'::regnamespace
                    and prolang = (select oid from pg_catalog.pg_language where lanname = 'sql')
            )
        ))
    ")[0][0]) }}
{%- endmacro %}

{#- The models, other than curated ones, that a model is made from. -#}
{% macro views_above(node) -%}
    {%- set found = [] -%}
    {%- for parent in node.depends_on.nodes
        if parent in graph.nodes and graph.nodes[parent].resource_type == 'model'
        and graph.nodes[parent].config.materialized != 'curated' -%}
        {%- do found.append(graph.nodes[parent]) -%}
        {%- do found.extend(views_above(graph.nodes[parent])) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{#- Whether the ledger is known to hold under today's reading. -#}
{% macro is_read_as_before(contract) -%}
    {{ return(query("
        select exists (
            select from journal.readings
            where
                entity = '" ~ contract.name ~ "'
                and fingerprint = '" ~ fingerprint_of_reading(contract) ~ "'
        )
    ")[0][0]) }}
{%- endmacro %}

{% macro remember_reading(contract, retyped=[]) -%}
    {%- set columns = "array['" ~ retyped | join("', '") ~ "']::text[]" if retyped else "'{}'" -%}
    {%- do execute_sql("
        insert into journal.readings as known (entity, fingerprint, retyped)
        values ('" ~ contract.name ~ "', '" ~ fingerprint_of_reading(contract) ~ "', " ~ columns ~ ")
        on conflict (entity) do update set
            fingerprint = excluded.fingerprint,
            retyped = array(
                select distinct name from unnest(known.retyped || excluded.retyped) as name
            )
    ") -%}
{%- endmacro %}

{#- SQL: {old_key, new_key} of the rows that today's code gives another key than history knows
    them by, as text. A loaded row has the key that staging computes; one that was born in the
    API has what the contract's default makes of it, unless people choose its keys. -#}
{% macro other_keys(contract) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set column = contract.columns[key] -%}
    select distinct on (old_key) old_key, new_key
    from (
        select ledger.key::text as old_key, model.{{ key }}::text as new_key, ledger.load_id
        from {{ ledger_of(contract) }} as ledger
        inner join {{ rows_of(contract) }} as model
            on model._load_id = ledger.load_id and model._row_number = ledger.row_number
        where model.{{ key }}::text is distinct from ledger.key::text
        {%- if column.config.meta.default and column.config.meta.server_owned %}
        union all
        select edits.key, computed.key::text, 0
        from journal.edits
        cross join lateral (
            select ({{ column.config.meta.default }}) as key
            from ({{ image_as_row(contract, 'edits.after') }}) as born
        ) as computed
        where
            edits.entity = '{{ contract.name }}'
            and edits.operation = 'insert'
            and edits.cause is null
            and computed.key::text <> edits.key
            and not exists (
                select from {{ ledger_of(contract) }} as ledger where ledger.key::text = edits.key
            )
            and not exists (
                select from journal.renamed_keys as renamed
                where renamed.entity = edits.entity and renamed.old_key = edits.key
            )
        {%- endif %}
    ) as either
    order by old_key, load_id desc
{%- endmacro %}

{#- History, ledger and journal know rows by their keys: a build that gave them others would
    leave each row twice. -#}
{% macro refuse_other_keys(contract) -%}
    {%- set other = query("
        select
            count(*) over () || ' rows',
            'one is now ' || coalesce(new_key, 'without a key') || ' and was ' || old_key
        from (" ~ other_keys(contract) ~ ") as other
        order by old_key
        limit 1
    ") -%}
    {%- if other -%}
        {%- set key = key_of(contract)[0] -%}
        {{ exceptions.raise_compiler_error(
            contract.name ~ ': nothing was changed, since ' ~ key ~ ' of ' ~ other[0][0]
            ~ ' is another than history knows them by (' ~ other[0][1] ~ '). Put back what '
            ~ key ~ ' is computed from, or give the rows their new keys: `assay rejudge '
            ~ contract.name ~ '` shows what that does, with `--yes` it is done.'
        ) }}
    {%- endif -%}
{%- endmacro %}
