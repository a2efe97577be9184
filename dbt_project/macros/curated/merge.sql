{#- Judges what is left of a load against what is curated now, and merges it:
    under the table's lock, so nothing changes meanwhile. Verdicts, rows, ledger
    and account are committed together or not at all. -#}
{% macro merge(contract, relation, load, account) -%}
    {%- set staged = staged_of(contract) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set ledger = ledger_of(contract) -%}
    {%- set dependent = dependent_columns(contract) -%}

    {#- A row older than an edit of its key changes nothing, but it is what the
        source last said. -#}
    {%- do account.update({'superseded': execute_sql("
        with superseded as (
            delete from " ~ staged ~ " as staged
            where exists (
                select from journal.edits
                where
                    edits.entity = '" ~ contract.name ~ "'
                    and edits.key = staged." ~ key ~ "::text
                    and edits.clock > " ~ load.clock ~ "
            )
            returning staged." ~ key ~ " as key, staged._hash as hash
        )
        insert into " ~ ledger ~ " select key, hash from superseded
        on conflict (key) do update set hash = excluded.hash
    ") if edits_since(contract, load.clock) else 0}) -%}

    {#- A newcomer that contradicts a curated row is rejected and curated stands. -#}
    {%- do judge_against_curated(contract, relation, staged, key) -%}
    {%- do account.update({'rejected': account.rejected + drop_rejected(staged)}) -%}

    {#- and the copies of its row with it: they say the same -#}
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

    {%- do account.update({'changed': execute_sql("
        update " ~ relation ~ " as curated
        set
            " ~ assignments(contract, key, dependent) ~ ",
            updated_at = '" ~ load.finished_at ~ "',
            updated_by = " ~ loaded_by(load) ~ "
        from " ~ staged ~ " as staged
        where curated." ~ key ~ " = staged." ~ key
    )}) -%}

    {%- set columns = content_columns(contract) -%}
    {%- do account.update({'new': execute_sql("
        insert into " ~ relation ~ " (" ~ columns | join(', ') ~ ", updated_at, updated_by)
        select
            staged." ~ columns | join(', staged.') ~ ",
            '" ~ load.finished_at ~ "'::timestamptz,
            " ~ loaded_by(load) ~ "
        from " ~ staged ~ " as staged
        where not exists (
            select from " ~ relation ~ " as curated where curated." ~ key ~ " = staged." ~ key ~ "
        )
    ")}) -%}

    {%- do execute_sql("
        update " ~ ledger ~ " as ledger set hash = staged._hash
        from " ~ staged ~ " as staged
        where staged._last_hash is not null and ledger.key = staged." ~ key
    ) -%}
    {%- do execute_sql("
        insert into " ~ ledger ~ "
        select " ~ key ~ ", _hash from " ~ staged ~ " where _last_hash is null
    ") -%}

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
            coalesce((
                select jsonb_object_agg(rule, broken)
                from (
                    select rule, count(distinct row_number) as broken
                    from verdicts, unnest(rules) as rule
                    group by rule
                ) as counted
            ), '{}'),
            '" ~ account.repairs ~ "', '" ~ account.warnings ~ "'
        from raw.loads
        where load_id = " ~ load.load_id
    ) -%}
    {%- do execute_sql('drop table ' ~ staged ~ ', verdicts, repeated_keys, copies') -%}
{%- endmacro %}

{#- Whether anybody edited the entity after a load: nearly always nobody did. -#}
{% macro edits_since(contract, clock) -%}
    {{ return(query(
        "select exists (select from journal.edits where entity = '" ~ contract.name
        ~ "' and clock > " ~ clock ~ ")"
    )[0][0]) }}
{%- endmacro %}

{#- An identifier that another key holds is taken, even if the same load would
    free it; a link that curated has holds until an edit changes it. -#}
{% macro judge_against_curated(contract, relation, staged, key) -%}
    {%- set broken = [] -%}
    {%- for rule in contract_rules(contract) -%}
        {%- if rule.kind == 'unique' and rule.columns != [key] -%}
            {%- do broken.append(
                "select staged._row_number as row_number, '" ~ rule.name ~ "' as rule"
                ~ " from " ~ staged ~ " as staged inner join " ~ relation ~ " as curated"
                ~ " using (" ~ rule.columns | join(', ') ~ ")"
                ~ " where curated." ~ key ~ " <> staged." ~ key
            ) -%}
        {%- elif rule.kind == 'dependency' -%}
            {%- for column in rule.dependent -%}
                {%- do broken.append(
                    "select staged._row_number as row_number, '" ~ rule.name ~ "' as rule"
                    ~ " from " ~ staged ~ " as staged inner join " ~ relation ~ " as curated"
                    ~ " using (" ~ rule.determinant ~ ")"
                    ~ " where curated." ~ column ~ " <> staged." ~ column
                ) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do execute_sql("
        insert into verdicts
        select row_number, array_agg(distinct rule order by rule)
        from (" ~ broken | join(' union all ') ~ ") as broken
        group by row_number
    ") if broken -%}
{%- endmacro %}

{#- Columns that hang on another by a functional dependency: a null in a later
    load does not erase them. -#}
{% macro dependent_columns(contract) -%}
    {%- set columns = [] -%}
    {%- for rule in contract_rules(contract) if rule.kind == 'dependency' -%}
        {%- do columns.extend(rule.dependent) -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}

{% macro assignments(contract, key, dependent) -%}
    {%- for column in content_columns(contract) if column != key -%}
        {{ column }} =
        {%- if column in dependent %} coalesce(staged.{{ column }}, curated.{{ column }})
        {%- else %} staged.{{ column }}
        {%- endif -%}
        {{- ", " if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{% macro loaded_by(load) -%}
    'load {{ load.load_id }} row ' || staged._row_number
{%- endmacro %}
