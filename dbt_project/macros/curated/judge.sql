{#- Stages one load and judges what can be judged without the curated table and
    so without its lock.

    The staged rows stand in a table of their own, from which each row leaves
    once, for one reason that is counted: rejected, a duplicate, unchanged. What
    is left is for `merge`. So the account adds up by construction, and the
    check on journal.accounts proves it against the number of rows that the
    loader counted. Returns the account so far. -#}
{% macro judge(contract, load) -%}
    {%- set staged = staged_of(contract) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set account = {'rejected': 0} -%}

    {%- do execute_sql("set local max_parallel_workers_per_gather = 2") -%}

    {#- A table that other processes can read lets PostgreSQL judge in parallel;
        unlogged, since it ends with the transaction. -#}
    {%- do execute_sql("
        create unlogged table " ~ staged ~ " as
        select
            " ~ content_columns(contract) | join(', ') ~ ",
            model._row_number, model._malformed, model._problems, model._hash,
            ledger.hash as _last_hash
        from (" ~ sql ~ "\n) as model
        left join " ~ ledger_of(contract) ~ " as ledger on ledger.key = model." ~ key ~ "
        where model._load_id = " ~ load.load_id
    ) -%}

    {%- do refuse_other_types(contract, staged) -%}

    {#- rules of one row -#}
    {%- do execute_sql("
        create temporary table verdicts on commit drop as
        select _row_number as row_number, rules
        from (
            select _row_number, " ~ violations(contract) ~ " as rules from " ~ staged ~ "
        ) as judged
        where rules <> '{}'
    ") -%}
    {%- do account.update({'rejected': account.rejected + drop_rejected(staged)}) -%}
    {%- do execute_sql('analyze ' ~ staged) -%}

    {#- rules between the rows of the load: the whole group, since nobody knows
        which of them is right -#}
    {%- do judge_groups(contract, staged, key) -%}
    {%- do account.update({'rejected': account.rejected + drop_rejected(staged)}) -%}

    {#- what is left under one key says the same; which copy is kept does not
        depend on the order of the rows -#}
    {%- do execute_sql("
        create temporary table copies on commit drop as
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

    {%- do account.update(notes_of(contract, staged)) -%}

    {%- do account.update({'unchanged': execute_sql(
        "delete from " ~ staged ~ " where _hash = _last_hash"
    )}) -%}
    {{ return(account) }}
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
            contract.name ~ ': cast in staging: ' ~ others | map(attribute=0) | join('; ') ~ '.'
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

{#- Verdicts for groups of rows that contradict each other: rows that agree in
    some columns and differ in what a rule says depends on them; nulls neither
    agree nor differ. All groups are judged on the same rows. A rule that all
    contradictions break speaks only where no other says more exactly what is
    wrong: a uniqueness beside a dependency on the same columns, and the key. -#}
{% macro judge_groups(contract, staged, key) -%}
    {%- set content = content_columns(contract) | reject('equalto', 'repairs') | list -%}
    {%- set whole_row = "row(" ~ content | join(', ') ~ ")::text" -%}

    {#- rules by the columns that they group by: each set is counted once -#}
    {%- set groups = {} -%}
    {%- for rule in contract_rules(contract) if rule.kind == 'dependency' -%}
        {%- set group = groups.setdefault(rule.determinant, {'exact': [], 'general': none}) -%}
        {%- for column in rule.dependent -%}
            {%- do group.exact.append([rule.name, column ~ '::text']) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for rule in contract_rules(contract) if rule.kind == 'unique' and rule.columns != [key] -%}
        {%- set columns = rule.columns | join(', ') -%}
        {%- if columns in groups -%}
            {%- do groups[columns].update({'general': [rule.name, whole_row]}) -%}
        {%- else -%}
            {%- do groups.update(
                {columns: {'exact': [[rule.name, key ~ '::text']], 'general': none}}
            ) -%}
        {%- endif -%}
    {%- endfor -%}

    {%- for columns, group in groups.items() -%}
        {%- do execute_sql(
            contradictions(staged, columns, repeated(staged, columns), group.exact)
        ) -%}
    {%- endfor -%}

    {%- do execute_sql(
        'create temporary table repeated_keys on commit drop as ' ~ repeated(staged, key)
    ) -%}
    {%- for columns, group in groups.items() if group.general -%}
        {%- do execute_sql(
            contradictions(staged, columns, repeated(staged, columns), [group.general], true)
        ) -%}
    {%- endfor -%}
    {%- for rule in contract_rules(contract) if rule.kind == 'unique' and rule.columns == [key] -%}
        {%- do execute_sql(contradictions(
            staged, key, 'table repeated_keys', [[rule.name, whole_row]], true
        )) -%}
    {%- endfor -%}
{%- endmacro %}

{#- What occurs more than once: nearly nothing, found by one hash aggregate. -#}
{% macro repeated(staged, columns) -%}
    select {{ columns }}
    from {{ staged }}
    where {{ columns | replace(', ', ' is not null and ') }} is not null
    group by {{ columns }}
    having count(*) > 1
{%- endmacro %}

{% macro contradictions(staged, columns, repeated, rules, only_unjudged=false) -%}
    insert into verdicts (row_number, rules)
    select staged._row_number, contradictory.rules
    from {{ staged }} as staged
    inner join (
        select
            {{ columns }},
            array_remove(array[
                null
                {%- for rule, differing in rules %},
                case when min({{ differing }}) <> max({{ differing }}) then '{{ rule }}' end
                {%- endfor %}
            ], null) as rules
        from {{ staged }}
        inner join ({{ repeated }}) as repeated using ({{ columns }})
        group by {{ columns }}
    ) as contradictory using ({{ columns }})
    where
        contradictory.rules <> '{}'
        {%- if only_unjudged %}
        and staged._row_number not in (select row_number from verdicts)
        {%- endif %}
{%- endmacro %}

{#- What the load report says beside the account: how many rows each column was
    repaired in, and each warning given. -#}
{% macro notes_of(contract, staged) -%}
    {%- set warnings = contract_rules(contract) | selectattr('severity', 'equalto', 'warn') | list -%}
    {%- set warned = query("
        select jsonb_strip_nulls(jsonb_build_object(" ~ warnings_counted(warnings) ~ "))::text
        from " ~ staged
    )[0][0] if warnings else '{}' -%}
    {%- set repaired = query("
        select coalesce(jsonb_object_agg(repaired, rows), '{}')::text
        from (
            select split_part(repair, ': ', 1) as repaired, count(*) as rows
            from " ~ staged ~ ", unnest(repairs) as repair
            where repairs <> '{}'
            group by 1
        ) as counted
    ")[0][0] if 'repairs' in contract.columns else '{}' -%}
    {{ return({'repairs': repaired, 'warnings': warned}) }}
{%- endmacro %}

{% macro warnings_counted(warnings) -%}
    {%- for rule in warnings -%}
    '{{ rule.name }}', nullif(count(*) filter (where not ({{ rule.expression }})), 0)
    {{- ", " if not loop.last }}
    {%- endfor %}
{%- endmacro %}
