{#- Exchanges: rows of a load that take identifiers from each other. Each is free only if the row that
    gives it up is accepted, so of an exchange all rows are accepted or none, whatever their
    order. A row that takes is in doubt until that is known, `is_exchange`. -#}

{#- SQL: whether the row of the holder, `curated`, is in the load and gives up what `staged` claims. -#}
{% macro is_freed(contract, rule, staged) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- if not is_deferrable(contract, rule) -%}
    false
    {%- else -%}
    exists (select from {{ staged }} as giver where giver.{{ key }} = curated.{{ key }})
    and not exists (
        select from (
            select * from {{ staged }} as staged {{ 'where ' ~ rule.where if rule.where }}
        ) as keeper
        where
            keeper.{{ key }} = curated.{{ key }}
            {%- for column in rule.columns %}
            and keeper.{{ column }} = staged.{{ column }}
            {%- endfor %}
    )
    {%- endif -%}
{%- endmacro %}

{#- Under the lock: rejects each exchange of which a row is rejected, until no more are. What a load
    wrote before the lock is taken back. -#}
{% macro settle_exchanges(contract, relation, staged, load=none, account=none) -%}
    {%- set ns = namespace(goes_on=query(
        'select exists (select from doubts where is_exchange) or exists (select from claims)'
    )[0][0]) -%}
    {%- do forget_kept_claims(contract, relation, staged) if ns.goes_on -%}
    {%- for step in range(1000) if ns.goes_on -%}
        {%- set ns.goes_on = reject_exchanges(contract, staged) > 0 -%}
        {%- if ns.goes_on -%}
            {%- do refuse(contract, relation, load, account) if load -%}
            {%- do doubt_queries(contract, relation, staged) -%}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{#- A claim was noted before the row of its holder was filled in: that may keep what is claimed. -#}
{% macro forget_kept_claims(contract, relation, staged) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- for rule in contract_rules(contract) if rule.kind == 'unique' and rule.columns != [key] -%}
        {%- do execute_sql("
            delete from claims
            using
                " ~ concerned(staged, rule.where) ~ " as keeper,
                " ~ concerned(relation, rule.where) ~ " as curated
            where
                claims.rules = array['" ~ rule.name ~ "']
                and keeper." ~ key ~ " = claims.holder
                and curated." ~ key ~ " = claims.holder
                and (keeper." ~ rule.columns | join(', keeper.') ~ ")
                = (curated." ~ rule.columns | join(', curated.') ~ ")
        ") -%}
    {%- endfor -%}
{%- endmacro %}

{#- Makes doubts of what depends on a row that is rejected; of how many rows. -#}
{% macro reject_exchanges(contract, staged) -%}
    {%- set key = key_of(contract)[0] -%}
    {#- the row of the holder may have been superseded -#}
    {%- do execute_sql("
        update doubts set is_exchange = false
        where
            is_exchange
            and not exists (select from " ~ staged ~ " as giver where giver." ~ key ~ " = doubts.holder)
    ") -%}
    {%- do execute_sql("
        create temporary table exchanged on commit drop as
        with recursive

        steps as (
            select said.row_number as taker, giver._row_number as giver, said.rules
            from (
                select row_number, rules, holder from doubts where is_exchange
                union all
                select row_number, rules, holder from claims
            ) as said
            inner join " ~ staged ~ " as giver on giver." ~ key ~ " = said.holder
        ),

        ends as (
            select taker as one, giver as other, rules from steps
            union all
            select giver, taker, rules from steps
        ),

        rejected as (
            select row_number
            from (
                select row_number from doubts where not is_exchange
                union all
                select row_number from claims
            ) as lost
            union
            select ends.other from rejected inner join ends on ends.one = rejected.row_number
        )

        select row_number, rules
        from (
            select taker as row_number, rules from steps
            union all
            select giver, rules from steps
            where
                giver not in (select taker from steps)
                and giver not in (select row_number from doubts where not is_exchange)
        ) as named
        where
            row_number in (select row_number from rejected)
            and row_number in (select _row_number from " ~ staged ~ ")
    ") -%}
    {%- set rows = query("
        select count(distinct row_number) from exchanged
        where row_number not in (select row_number from doubts where not is_exchange)
    ")[0][0] -%}
    {%- do execute_sql("
        delete from doubts where is_exchange and row_number in (select row_number from exchanged)
    ") -%}
    {%- do execute_sql('insert into doubts (row_number, rules) select row_number, rules from exchanged') -%}
    {%- do execute_sql('drop table exchanged') -%}
    {{ return(rows) }}
{%- endmacro %}
