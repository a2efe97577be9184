{#- What a rule means, as SQL. A check holds unless it is false, as in
    PostgreSQL: null passes. -#}

{#- The names of the row rules that a staged row breaks, as text[]. A rule is
    not judged where a column that it needs could not be read: one mistake, one
    reason. A malformed row has the wrong number of fields and nothing else. Rules
    about columns that are `unsaid` wait until these are filled in. -#}
{% macro violations(contract, unsaid=[]) -%}
    {%- set rules = contract_rules(contract) | selectattr('severity', 'equalto', 'error') -%}
    case
        when _malformed is not null then array['field_count']
        else array_remove(array[
            null
            {%- for rule in rules
                if rule.kind in ('cast', 'check', 'not_null')
                and not rule.columns | reject('in', content_columns(contract)) | list
                and not columns_of_rule(contract, rule) | select('in', unsaid) | list %}
            {%- set columns = "array['" ~ rule.columns | join("', '") ~ "']" %},
            case
                {%- if rule.kind == 'cast' %}
                when {{ columns }} <@ _problems
                {%- elif rule.kind == 'not_null' %}
                when
                    {{ rule.columns[0] }} is null
                    and not {{ columns }} <@ _problems
                {%- else %}
                when
                    not ({{ rule.expression }})
                    {%- if rule.columns %}
                    and not {{ columns }} && _problems
                    {%- endif %}
                {%- endif %}
                    then '{{ rule.name }}'
            end
            {%- endfor %}
        ], null)
    end
{%- endmacro %}

{#- SQL, over a group: whether a record differs among the rows that count. Records compare as
    their values do: 1 is 1.0. -#}
{% macro differs(record, counts='true') -%}
    min({{ record }}) filter (where {{ counts }}) <> max({{ record }}) filter (where {{ counts }})
{%- endmacro %}

{#- The rows of a contract's relation that break a rule: none where all is well. -#}
{% macro rows_breaking(contract, rule, relation) -%}
    {%- if rule.kind == 'check' -%}
    select * from {{ relation }}
    where not ({{ rule.expression }})
    {%- elif rule.kind == 'not_null' -%}
    select * from {{ relation }}
    where {{ rule.columns[0] }} is null
    {%- elif rule.kind == 'unique' -%}
    select {{ rule.columns | join(', ') }}, count(*) as occurrences
    from {{ relation }}
    where {{ rule.columns | join(' is not null and ') }} is not null
        {{- ' and (' ~ rule.where ~ ')' if rule.where }}
    group by {{ rule.columns | join(', ') }}
    having count(*) > 1
    {%- elif rule.kind == 'computed' -%}
    select {{ rule.columns | join(', ') }}
    from (
        select
            *,
            count(*) over (partition by _computed_key) as occurrences
        from {{ with_computed_key(contract, rule, relation) }} as computed
    ) as counted
    where _computed_key is not null and occurrences > 1
    {%- elif rule.kind == 'dependency' -%}
    select {{ rule.determinant | join(', ') }}, count(*) as occurrences
    from {{ relation }}
    where {{ rule.determinant | join(' is not null and ') }} is not null
    group by {{ rule.determinant | join(', ') }}
    having
        {%- for column in rule.dependent %}
        {{ "or " if not loop.first }}{{ differs('row(' ~ column ~ ')', column ~ ' is not null') }}
        {%- endfor %}
    {%- elif rule.kind == 'reference' -%}
    {%- set target = references_of(contract)[rule.columns[0]] -%}
    select * from {{ relation }}
    where
        {{ rule.columns[0] }} is not null
        and {{ rule.columns[0] }} not in (select {{ key_of(target)[0] }} from {{ table_of(target) }})
    {%- elif rule.kind == 'query' -%}
    {{ query_of(contract, rule, relation) }}
    {%- else -%}
    {{ exceptions.raise_compiler_error(
        "The rule " ~ rule.name ~ " (" ~ rule.kind ~ ") is judged in staging; a table cannot break it."
    ) }}
    {%- endif -%}
{%- endmacro %}

{#- Whether a staged row breaks a rule of severity `warn`. What should be unique is looked for
    among the rows beside it and those that are curated under other keys. -#}
{% macro breaks_warning(contract, rule, relation, staged) -%}
    {%- if rule.kind == 'unique' -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set columns = rule.columns | join(', ') -%}
    ({{ columns }}) in (
        select {{ columns }}
        from (
            select {{ columns }} from {{ staged }}
            union all
            select {{ columns }} from {{ relation }} as curated
            where not exists (
                select from {{ staged }} as staged where staged.{{ key }} = curated.{{ key }}
            )
        ) as all_rows
        group by {{ columns }} having count(*) > 1
    )
    {%- else -%}
    not ({{ rule.expression }})
    {%- endif -%}
{%- endmacro %}

{#- The query of a rule over several rows. It names models: its own is `relation` here, so
    that rows can be judged before they are written. -#}
{% macro query_of(contract, rule, relation) -%}
    select * from (
        with {{ contract.name }} as not materialized (select * from {{ relation }} as judged)
        {%- for name in rule.over -%}
        , {{ name }} as not materialized (select * from {{ table_of(contract_of(name)) }})
        {%- endfor %}
        select * from ({{ rule.query }}) as breaking
    ) as breaking
{%- endmacro %}
