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
        from (" ~ sql ~ ") as model
        left join " ~ ledger_of(contract) ~ " as ledger on ledger.key = model." ~ key ~ "
        where model._load_id = " ~ load.load_id
    ) -%}

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

    {#- what is left under one key says the same; which copy stays does not depend
        on the order of the rows -#}
    {%- do account.update({'duplicates': execute_sql("
        delete from " ~ staged ~ " as copy
        using (
            select
                _row_number,
                row_number() over (
                    partition by " ~ key ~ " order by _hash, _row_number
                ) as place
            from " ~ staged ~ "
            where " ~ key ~ " in (
                select " ~ key ~ " from " ~ staged ~ "
                group by " ~ key ~ " having count(*) > 1
            )
        ) as copies
        where copies._row_number = copy._row_number and copies.place > 1
    ")}) -%}

    {%- do account.update(notes_of(contract, staged)) -%}

    {%- do account.update({'unchanged': execute_sql(
        "delete from " ~ staged ~ " where _hash = _last_hash"
    )}) -%}
    {{ return(account) }}
{%- endmacro %}

{#- The staged rows of the load that is being built. -#}
{% macro staged_of(contract) -%}
    staging.{{ contract.name }}__load
{%- endmacro %}

{#- Takes the rows that have a verdict out of the staged ones; how many. -#}
{% macro drop_rejected(staged) -%}
    {{ return(execute_sql(
        "delete from " ~ staged ~ " as staged using verdicts"
        ~ " where verdicts.row_number = staged._row_number"
    )) }}
{%- endmacro %}

{#- Verdicts for groups of rows that contradict each other. All groups are
    judged on the same rows. The rule of the key speaks only where no rule says
    more exactly what is wrong, and so does a uniqueness beside a dependency on
    the same columns. -#}
{% macro judge_groups(contract, staged, key) -%}
    {%- set rules = contract_rules(contract) -%}
    {%- set dependencies = rules | selectattr('kind', 'equalto', 'dependency') | list -%}
    {%- set determinants = dependencies | map(attribute='determinant') | list -%}
    {%- set uniques = rules | selectattr('kind', 'equalto', 'unique') | list -%}

    {%- set exact = [] -%}
    {%- for rule in dependencies -%}
        {%- for column in rule.dependent -%}
            {%- do exact.append(contradictions(staged, rule.name, [rule.determinant], column)) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for rule in uniques if rule.columns != [key] and rule.columns[0] not in determinants -%}
        {%- do exact.append(contradictions(staged, rule.name, rule.columns, key ~ '::text')) -%}
    {%- endfor -%}

    {%- set general = [] -%}
    {%- set content = content_columns(contract) | reject('equalto', 'repairs') | list -%}
    {%- for rule in uniques if rule.columns == [key] or rule.columns[0] in determinants -%}
        {%- do general.append(contradictions(
            staged, rule.name, rule.columns, "row(" ~ content | join(', ') ~ ")::text"
        )) -%}
    {%- endfor -%}

    {%- do execute_sql("
        insert into verdicts
        select row_number, array_agg(distinct rule order by rule)
        from (" ~ exact | join(' union all ') ~ ") as contradictions
        group by row_number
    ") if exact -%}
    {%- for group in general -%}
        {%- do execute_sql("
            insert into verdicts
            select row_number, array[rule]
            from (" ~ group ~ ") as contradictions
            where row_number not in (select row_number from verdicts)
        ") -%}
    {%- endfor -%}
{%- endmacro %}

{#- Rows that agree in `columns` and differ in an expression; nulls neither agree
    nor differ. Groups of one row, nearly all, cost one hash aggregate. -#}
{% macro contradictions(staged, rule_name, columns, differing) -%}
    {%- set list = columns | join(', ') -%}
    select staged._row_number as row_number, '{{ rule_name }}' as rule
    from {{ staged }} as staged
    inner join (
        select {{ list }}
        from {{ staged }}
        inner join (
            select {{ list }}
            from {{ staged }}
            where {{ columns | join(' is not null and ') }} is not null
            group by {{ list }}
            having count(*) > 1
        ) as repeated using ({{ list }})
        group by {{ list }}
        having min({{ differing }}) <> max({{ differing }})
    ) as contradictory using ({{ list }})
{%- endmacro %}

{#- What the load report says beside the account: how many rows each column was
    repaired in, and each warning given. -#}
{% macro notes_of(contract, staged) -%}
    {%- set warnings = contract_rules(contract) | selectattr('severity', 'equalto', 'warn') | list -%}
    {%- set warned = query("
        select jsonb_strip_nulls(jsonb_build_object(" ~ warnings_counted(warnings) ~ "))::text
        from " ~ staged
    )[0][0] -%}
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
