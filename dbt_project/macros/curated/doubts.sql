{#- What is judged against what is curated: doubts, until `merge` settles them. -#}

{#- Judges what is left of a load against what is curated: an identifier that another
    key holds is taken, unless the load frees it (`exchanges.sql`); a link that curated
    has holds until an edit changes it.

    These are doubts, not verdicts: an edit may still come before the lock does,
    and change what a row was judged by. `merge` settles them. -#}
{% macro judge_against_curated(contract, relation, load) -%}
    {%- set staged = staged_of(contract) -%}
    {%- set filled = fill(contract, relation, staged, load.silences) -%}
    {%- do doubt(contract, relation, staged) -%}
    {%- do doubt_links(contract, relation, staged) -%}
    {%- if filled -%}
        {#- What was filled in was not judged together with the row yet; but a row that
            claims what curated holds does not take the row of the holder with it. -#}
        {%- do judge_rows(contract, staged, 'doubts', 'where _is_filled') -%}
        {%- do execute_sql(
            'create temporary table doubted on commit drop as '
            ~ 'select distinct row_number from doubts where not is_exchange'
        ) -%}
        {%- do judge_groups(
            contract,
            '(select * from ' ~ staged ~ ' where _row_number not in (table doubted))',
            'doubts'
        ) -%}
        {%- do execute_sql('drop table doubted') -%}
    {%- endif -%}
    {%- do doubt_references(contract, staged) -%}
    {#- rows of new keys are written before the others are changed -#}
    {%- do doubt_queries(contract, relation, '(select * from ' ~ staged ~ ' where _is_new)') -%}
    {%- do doubt_queries(contract, relation, staged) -%}
{%- endmacro %}

{#- Rows that refer to what is not there. -#}
{% macro doubt_references(contract, staged) -%}
    {%- for rule in contract_rules(contract) if rule.kind == 'reference' -%}
        {%- set column = rule.columns[0] -%}
        {%- set target = references_of(contract)[column] -%}
        {%- do execute_sql("
            insert into doubts
            select _row_number, array['" ~ rule.name ~ "']
            from " ~ staged ~ " as staged
            where
                " ~ column ~ " is not null
                and not exists (
                    select from " ~ table_of(target) ~ " as target
                    where target." ~ key_of(target)[0] ~ " = staged." ~ column ~ "
                )
        ") -%}
    {%- endfor -%}
{%- endmacro %}

{#- Rows with which, once they are written, a rule over several rows would be broken. -#}
{% macro doubt_queries(contract, relation, staged) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set content = content_columns(contract) | join(', ') -%}
    {%- for rule in contract_rules(contract)
        if rule.kind == 'query' and rule.severity == 'error' -%}
        {%- set undoubted = "(
            select * from " ~ staged ~ " as staged
            where _row_number not in (select row_number from doubts where not is_exchange)
        )" -%}
        {%- set written = "(
            select " ~ content ~ " from " ~ relation ~ "
            where " ~ key ~ " not in (select " ~ key ~ " from " ~ undoubted ~ " as undoubted)
            union all
            select " ~ content ~ " from " ~ undoubted ~ " as undoubted
        )" -%}
        {%- do execute_sql("
            insert into doubts
            select _row_number, array['" ~ rule.name ~ "']
            from " ~ undoubted ~ " as undoubted
            where " ~ key ~ " in (
                select breaking." ~ key ~ "
                from (" ~ query_of(contract, rule, written) ~ ") as breaking
            )
        ") -%}
        {#- where the query names other rows than these the trigger would stop the load for ever -#}
        {%- do execute_sql("
            insert into doubts
            select _row_number, array['" ~ rule.name ~ "']
            from " ~ undoubted ~ " as undoubted
            where exists (" ~ query_of(contract, rule, written) ~ ")
        ") -%}
    {%- endfor -%}
{%- endmacro %}

{#- The rest of the row where a load does not say it: what it had no header for stays as it is
    curated, or takes the contract's default in a new row; a null does not erase what
    depends on the row's key or another determinant, as long as that stays. How many rows that concerns. -#}
{% macro fill(contract, relation, staged, silences={}) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set dependent = dependent_columns(contract) -%}
    {%- set assignments, gaps, news = [], [], ['_is_filled = true'] -%}
    {%- set determinants = determinants_of(contract) -%}
    {%- for column in dependent -%}
        {%- set stays = ['staged.' ~ column ~ ' is null'] -%}
        {%- for determinant in determinants.get(column, [])
            if column not in silences and determinant not in silences -%}
            {%- do stays.append(
                'staged.' ~ determinant ~ ' is not distinct from curated.' ~ determinant
            ) -%}
        {%- endfor -%}
        {%- do assignments.append(
            column ~ ' = case when ' ~ stays | join(' and ') ~ ' then curated.' ~ column
            ~ ' else staged.' ~ column ~ ' end'
        ) -%}
        {%- do gaps.append('(' ~ stays | join(' and ') ~ ' and curated.' ~ column ~ ' is not null)') -%}
    {%- endfor -%}
    {%- for column in silences if column not in dependent -%}
        {%- do assignments.append(column ~ ' = curated.' ~ column) -%}
        {%- do gaps.append('true') -%}
    {%- endfor -%}
    {%- set unsaid = "array['" ~ silences.keys() | join("', '") ~ "']" -%}
    {%- for column, default in defaults_of_new(contract, silences, unsaid).items() -%}
        {%- do news.append(column ~ ' = ' ~ default) -%}
    {%- endfor -%}
    {%- set filled = execute_sql("
        update " ~ staged ~ " as staged
        set " ~ assignments | join(', ') ~ ", _is_filled = true
        from " ~ relation ~ " as curated
        where curated." ~ key ~ " = staged." ~ key ~ " and (" ~ gaps | join(' or ') ~ ")
    ") if assignments else 0 -%}
    {%- set completed = execute_sql(
        'update ' ~ staged ~ ' set ' ~ news | join(', ') ~ ' where _is_new'
    ) if silences else 0 -%}
    {{ return(filled + completed) }}
{%- endmacro %}

{#- Claims of rows that have a verdict: with them the whole exchange is rejected. -#}
{% macro remember_claims(contract, relation, staged) -%}
    {%- do execute_sql('analyze verdicts') -%}
    {%- do doubt(
        contract, relation, staged,
        ' and staged._row_number in (select row_number from verdicts)', into='claims'
    ) if query('select exists (select from verdicts)')[0][0] -%}
    {%- do execute_sql('delete from claims where not is_exchange') -%}
{%- endmacro %}

{#- `condition`: of which staged rows, or of which curated ones. -#}
{% macro doubt(contract, relation, staged, condition='', into='doubts') -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set broken = [] -%}
    {%- for rule in contract_rules(contract) | selectattr('severity', 'equalto', 'error') -%}
        {%- if rule.kind == 'unique' and rule.columns != [key] -%}
            {%- do broken.append([
                rule.name, rule.columns, 'curated.' ~ key ~ ' <> staged.' ~ key, rule.where,
                is_freed(contract, rule, staged),
            ]) -%}
        {%- elif rule.kind == 'dependency' and constraint_of(contract, rule) -%}
            {%- for column in rule.dependent -%}
                {%- do broken.append(
                    [rule.name, rule.determinant, 'curated.' ~ column ~ ' <> staged.' ~ column, none, 'false']
                ) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for name, columns, contradiction, where, freed in broken -%}
        {%- do execute_sql("
            insert into " ~ into ~ "
            select staged._row_number, array['" ~ name ~ "'], curated." ~ key ~ ", " ~ freed ~ "
            from " ~ concerned(staged, where) ~ " as staged
            inner join " ~ concerned(relation, where) ~ " as curated using (" ~ columns | join(', ') ~ ")
            where " ~ contradiction ~ condition
        ) -%}
    {%- endfor -%}
    {%- for rule in contract_rules(contract) if rule.kind == 'computed' -%}
        {%- do execute_sql("
            insert into " ~ into ~ "
            select staged._row_number, array['" ~ rule.name ~ "'], curated." ~ key ~ ", false
            from " ~ with_computed_key(contract, rule, staged) ~ " as staged
            inner join " ~ with_computed_key(contract, rule, relation) ~ " as curated
                using (_computed_key)
            where curated." ~ key ~ " <> staged." ~ key ~ condition
        ) -%}
    {%- endfor -%}
{%- endmacro %}

{#- The rows of a relation that a rule is about. -#}
{% macro concerned(relation, where) -%}
    {%- if where -%} (select * from {{ relation }} as concerned where {{ where }}) {%- else -%} {{ relation }} {%- endif -%}
{%- endmacro %}

{#- Rows that say of a determinant another value than a curated row of any key does. -#}
{% macro doubt_links(contract, relation, staged) -%}
    {%- for rule in links_of(contract) -%}
        {%- for column in rule.dependent -%}
            {%- do execute_sql("
                insert into doubts
                select staged._row_number, array['" ~ rule.name ~ "'], other.holder
                from " ~ staged ~ " as staged
                cross join lateral (
                    " ~ other_values(contract, rule, column, relation, 'staged', key_of(contract)[0] ~ ' as holder')
                        ~ "
                    limit 1
                ) as other
                where staged." ~ column ~ " is not null
            ") -%}
        {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}

{#- SQL: the rows of a relation that have the determinant of `row` and another value; at most one
    below it and one above, each found by an index however many rows have the same. -#}
{% macro other_values(contract, rule, column, relation, row, found='1') -%}
    {%- for is_other in ('<', '>') %}
    {{ "union all" if not loop.first }}
    (
        select {{ found }} from {{ relation }} as other
        where
            {%- for determinant in rule.determinant %}
            other.{{ determinant }} = {{ row }}.{{ determinant }} and
            {%- endfor %}
            other.{{ column }} {{ is_other }} {{ row }}.{{ column }}
        limit 1
    )
    {%- endfor %}
{%- endmacro %}
