{#- Stages one load and judges it, without the lock of the curated table.

    The staged rows stand in a table of their own, from which each row leaves
    once, for one reason that is counted: rejected, a duplicate, unchanged. What
    is left is for `merge`. So the account adds up by construction, and the
    check on journal.accounts proves it against the number of rows that the
    loader counted. Returns the account so far. -#}
{% macro judge(contract, relation, load) -%}
    {%- set staged = staged_of(contract) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set account = {'rejected': 0} -%}
    {%- set proposes = '_proposals' in columns_of(rows_of(contract)) -%}
    {%- do hear(contract, load) -%}

    {%- do help_to_find(contract, load) -%}

    {#- A table that other processes can read lets PostgreSQL judge in parallel;
        unlogged, since it ends with the transaction. -#}
    {%- do execute_sql("
        create unlogged table " ~ staged ~ " as
        select
            " ~ said_columns(contract, load.silences) ~ ",
            model._row_number, model._malformed, model._problems,
            " ~ hash_of_said('model._hash', load.absent) ~ " as _hash,
            " ~ ('model._proposals, ' if proposes) ~ "ledger.hash as _last_hash,
            ledger.load_id as _last_load_id, ledger.row_number as _last_row_number,
            curated." ~ key ~ " is null as _is_new, false as _is_filled
        from " ~ rows_of(contract) ~ " as model
        left join " ~ ledger_of(contract) ~ " as ledger
            on ledger.key = model." ~ key ~ " and ledger.is_last
        left join " ~ relation ~ " as curated on curated." ~ key ~ " = model." ~ key ~ "
        where model._load_id = " ~ load.load_id
            ~ (' and model._row_number not in (' ~ load.without ~ ')' if load.without)
    ) -%}

    {%- do execute_sql('set local enable_hashjoin = on; set local enable_mergejoin = on') -%}
    {#- one that is replayed was counted with all others -#}
    {%- do refuse_lost_rows_of(
        contract, '(select ' ~ load.load_id ~ ' as _load_id, _row_number from ' ~ staged ~ ')', load.load_id
    ) if not contract.is_rehearsed -%}
    {#- rows leave `staged`; the verdicts of those that are rejected are recorded at the end -#}
    {%- do execute_sql("
        create temporary table proposed (row_number bigint, proposals text[]) on commit drop
    ") -%}
    {%- do execute_sql(
        'insert into proposed select _row_number, _proposals from ' ~ staged
        ~ " where _proposals <> '{}'"
    ) if proposes -%}
    {%- do refuse_other_types(contract, staged) -%}
    {#- an exchange is in doubt until all of it is known to be accepted -#}
    {%- for table in ('verdicts', 'doubts') -%}
        {%- do execute_sql("
            create temporary table " ~ table ~ " (
                row_number bigint, rules text[], holder " ~ contract.columns[key].data_type ~ ",
                is_exchange boolean not null default false
            ) on commit drop
        ") -%}
    {%- endfor -%}
    {%- do execute_sql('create temporary table claims (like doubts) on commit drop') -%}
    {%- do execute_sql("
        create temporary table copies (row_number bigint, kept bigint) on commit drop
    ") -%}

    {%- do judge_rows(contract, staged, 'verdicts', unsaid=load.silences) -%}
    {%- do remember_claims(contract, relation, staged) -%}
    {%- do account.update({'rejected': account.rejected + drop_rejected(staged)}) -%}
    {%- do execute_sql('analyze ' ~ staged) -%}

    {#- rules between the rows of the load: the whole group, since nobody knows
        which of them is right -#}
    {%- do execute_sql(
        'create temporary table repeated_keys on commit drop as ' ~ repeated(staged, key)
    ) -%}
    {%- do judge_groups(contract, staged, 'verdicts') -%}
    {%- do remember_claims(contract, relation, staged) -%}
    {%- do account.update({'rejected': account.rejected + drop_rejected(staged)}) -%}

    {#- what is left under one key says the same; which copy is kept does not
        depend on the order of the rows -#}
    {%- do execute_sql("
        insert into copies
        select
            _row_number as row_number,
            first_value(_row_number) over (
                partition by " ~ key ~ " order by _hash, _row_number
            ) as kept
        from " ~ staged ~ "
        inner join repeated_keys using (" ~ key ~ ")
    ") -%}
    {%- do account.update({'duplicates': execute_sql(
        "delete from " ~ staged ~ " as staged using copies"
        ~ " where copies.row_number = staged._row_number and copies.row_number <> copies.kept"
    )}) -%}

    {%- do account.update(notes_of(contract, relation, staged, load.silences)) -%}

    {%- do account.update({'unchanged': execute_sql(
        "delete from " ~ staged ~ " where _hash = _last_hash"
    )}) -%}
    {%- do account.update({'unchanged': account.unchanged + drop_repetitions(contract, staged, load)}) -%}
    {{ return(account) }}
{%- endmacro %}

{#- PostgreSQL finds the rows of a load by a summary of the raw table, which it makes
    some time later if nobody asks; and it cannot guess how few of the known keys a
    load has, so that a small one would read the whole ledger. -#}
{% macro help_to_find(contract, load) -%}
    {%- for source_table in source_tables_of(contract) -%}
        {%- do query("
            select brin_summarize_new_values(indexrelid)
            from pg_catalog.pg_index
            inner join pg_catalog.pg_class on pg_class.oid = indexrelid
            inner join pg_catalog.pg_am on pg_am.oid = relam
            where indrelid = '" ~ source_of(source_table) ~ "'::regclass and amname = 'brin'
        ") -%}
    {%- endfor -%}
    {%- do execute_sql("set local max_parallel_workers_per_gather = 2") -%}
    {#- Rows that staging works out one by one are all different: nothing to remember. -#}
    {%- do execute_sql('set local enable_memoize = off') -%}
    {%- do execute_sql(
        'set local enable_hashjoin = off; set local enable_mergejoin = off'
    ) if load.row_count < 100000 -%}
{%- endmacro %}

{#- Rules of one row; without those that speak of what is unsaid. -#}
{% macro judge_rows(contract, staged, into, condition='', unsaid=[]) -%}
    {%- do execute_sql("
        insert into " ~ into ~ "
        select _row_number, rules
        from (
            select _row_number, " ~ violations(contract, unsaid) ~ " as rules from " ~ staged ~ " " ~ condition ~ "
        ) as judged
        where rules <> '{}'
    ") -%}
{%- endmacro %}

{#- A value of another type might not fit the column, and PostgreSQL would refuse
    the load for ever: staging has to cast. -#}
{% macro refuse_other_types(contract, staged) -%}
    {%- set declared = [] -%}
    {%- for name in content_columns(contract) -%}
        {%- do declared.append("('" ~ name ~ "', '" ~ contract.columns[name].data_type ~ "')") -%}
    {%- endfor -%}
    {%- set others = query("
        select
            columns.attname || ' is ' || format_type(columns.atttypid, columns.atttypmod)
            || ', the contract says ' || declared.data_type
        from (values " ~ declared | join(', ') ~ ") as declared (name, data_type)
        inner join pg_catalog.pg_attribute as columns
            on columns.attrelid = '" ~ staged ~ "'::regclass and columns.attname = declared.name
        where
            (columns.atttypid, columns.atttypmod)
            is distinct from (
                to_regtype(declared.data_type)::oid,
                coalesce(to_regtypemod(declared.data_type), -1)
            )
    ") -%}
    {%- if others -%}
        {{ exceptions.raise_compiler_error(
            contract.name ~ ': cast in staging, and build that first (`dbt build --select +'
            ~ contract.name ~ '`): ' ~ others | map(attribute=0) | join('; ') ~ '.'
        ) }}
    {%- endif -%}
{%- endmacro %}

{#- The staged rows of the load that is being built. -#}
{% macro staged_of(contract) -%}
    staging.{{ contract.name }}__load
{%- endmacro %}

{#- Takes the rows that have a verdict out of the staged ones; how many. A row may
    have been judged by several rules at once. -#}
{% macro drop_rejected(staged) -%}
    {{ return(execute_sql(
        "delete from " ~ staged ~ " as staged using verdicts"
        ~ " where verdicts.row_number = staged._row_number"
    )) }}
{%- endmacro %}

{#- Groups of rows that contradict each other: rows that agree in some columns and
    differ in what a rule says depends on them; nulls neither agree nor differ. All
    groups are judged on the same rows. A rule that all contradictions break
    speaks only where no other says more exactly what is wrong: a uniqueness
    beside a dependency on the same columns, and the key. -#}
{% macro judge_groups(contract, staged, into) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set whole_row = 'row(' ~ telling_columns(contract) | join(', ') ~ ')' -%}

    {#- rules by the columns that they group by: each set is counted once -#}
    {%- set groups = {} -%}
    {%- set rules = contract_rules(contract) | selectattr('severity', 'equalto', 'error') | list -%}
    {%- for rule in rules if rule.kind == 'dependency' -%}
        {%- set group = groups.setdefault(
            rule.determinant | join(', '), {'exact': [], 'general': none}
        ) -%}
        {%- for column in rule.dependent -%}
            {%- do group.exact.append([rule.name, 'row(' ~ column ~ ')', column ~ ' is not null']) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for rule in rules if rule.kind == 'unique' and not rule.where -%}
        {%- set columns = rule.columns | join(', ') -%}
        {%- if columns in groups or rule.columns == [key] -%}
            {%- do groups.setdefault(columns, {'exact': []}).update({'general': [rule.name, whole_row, 'true']}) -%}
        {%- else -%}
            {%- do groups.update(
                {columns: {'exact': [[rule.name, 'row(' ~ key ~ ')', 'true']], 'general': none}}
            ) -%}
        {%- endif -%}
    {%- endfor -%}

    {%- for columns, group in groups.items() if group.exact -%}
        {%- do execute_sql(contradictions(staged, columns, group.exact, into, key)) -%}
    {%- endfor -%}
    {%- for columns in groups.keys() | reject('equalto', key) | list + [key] if groups[columns].general -%}
        {%- do execute_sql(
            contradictions(staged, columns, [groups[columns].general], into, key, only_unjudged=true)
        ) -%}
    {%- endfor -%}
    {%- for rule in rules if rule.kind == 'computed' -%}
        {%- do execute_sql(contradictions(
            with_computed_key(contract, rule, staged),
            '_computed_key', [[rule.name, 'row(' ~ key ~ ')', 'true']], into, key
        )) -%}
    {%- endfor -%}
    {%- for rule in rules if rule.kind == 'unique' and rule.where -%}
        {%- do execute_sql(contradictions(
            '(select * from ' ~ staged ~ ' as staged where ' ~ rule.where ~ ')',
            rule.columns | join(', '), [[rule.name, 'row(' ~ key ~ ')', 'true']], into, key
        )) -%}
    {%- endfor -%}
{%- endmacro %}

{#- What occurs more than once: nearly nothing, found by one hash aggregate. -#}
{% macro repeated(staged, columns) -%}
    select {{ columns }}
    from {{ staged }} as staged
    where {{ columns | replace(', ', ' is not null and ') }} is not null
    group by {{ columns }}
    having count(*) > 1
{%- endmacro %}

{#- Judges the groups of equal `columns` by `rules`, each [name, record that must not
    differ, condition on which it counts]. -#}
{% macro contradictions(staged, columns, rules, into, key, only_unjudged=false) -%}
    insert into {{ into }} (row_number, rules)
    select staged._row_number, contradictory.rules
    from {{ staged }} as staged
    inner join (
        select
            {{ columns }},
            array_remove(array[
                null
                {%- for rule, differing, counts in rules %},
                case when {{ differs(differing, counts) }} then '{{ rule }}' end
                {%- endfor %}
            ], null) as rules
        from {{ staged }} as staged
        inner join (
            {#- the key's were counted before #}
            {{- 'table repeated_keys' if columns == key else repeated(staged, columns) }}
        ) as repeated using ({{ columns }})
        group by {{ columns }}
    ) as contradictory using ({{ columns }})
    where
        contradictory.rules <> '{}'
        {%- if only_unjudged %}
        and staged._row_number not in (select row_number from {{ into }})
        {%- endif %}
{%- endmacro %}

{#- What the load report says beside the account: how many rows each column was
    repaired in, and each warning given. -#}
{% macro notes_of(contract, relation, staged, unsaid=[]) -%}
    {#- those over several tables are for the dbt tests -#}
    {%- set warnings = [] -%}
    {%- for rule in contract_rules(contract) if rule.severity == 'warn' and rule.kind != 'query' -%}
        {%- do warnings.append(rule)
            if not columns_of_rule(contract, rule) | select('in', unsaid) | list -%}
    {%- endfor -%}
    {%- set warned = query("
        select jsonb_strip_nulls(jsonb_build_object("
            ~ warnings_counted(contract, warnings, relation, staged) ~ "))::text
        from " ~ staged
    )[0][0] if warnings else '{}' -%}
    {%- set repaired = query("
        select coalesce(jsonb_object_agg(repaired, rows), '{}')::text
        from (
            select split_part(noted.repair, ': ', 1) as repaired, count(*) as rows
            from " ~ staged ~ " as staged
            cross join unnest(staged.repairs) as noted (repair)
            group by 1
        ) as counted
    ")[0][0] if 'repairs' in contract.columns else '{}' -%}
    {{ return({'repairs': repaired, 'warnings': warned}) }}
{%- endmacro %}

{% macro warnings_counted(contract, warnings, relation, staged) -%}
    {%- for rule in warnings -%}
    '{{ rule.name }}', nullif(count(*) filter (
        where {{ breaks_warning(contract, rule, relation, staged) }}
    ), 0)
    {{- ", " if not loop.last }}
    {%- endfor %}
{%- endmacro %}
