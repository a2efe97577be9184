{#- A column whose type changes: its values are computed from raw by today's staging, beside the
    table, and those that people wrote are read under the new type. The table is locked
    for as long as it is written anew. -#}

{#- SQL: a value under another type, null where it is none of it. -#}
{% macro value_as_typed(value, name, data_type) -%}
    case when pg_input_is_valid({{ value }}::text, '{{ data_type }}') then {{ value }}::text::{{ data_type }} end
{%- endmacro %}

{#- The columns that had another type once, or have it still in the table. -#}
{% macro retyped_columns(contract) -%}
    {%- set known = query("
        select unnest(retyped) from journal.readings where entity = '" ~ contract.name ~ "'
    ") | map(attribute=0) | list -%}
    {%- set retyped = [] -%}
    {%- for name in (known + other_types(contract, relation_of(contract))) | unique
        if name in contract.columns -%}
        {%- do retyped.append(name) -%}
    {%- endfor -%}
    {{ return(retyped) }}
{%- endmacro %}

{#- What people wrote last of a row is not lost because a column has another type: they say what
    it is under that. -#}
{% macro refuse_unreadable_edits(contract, relation) -%}
    {%- set faults = [] -%}
    {%- for name in other_types(contract, relation) -%}
        {%- set column = contract.columns[name] -%}
        {%- set shown = "''" if column.config.meta.pii else "': ' || left(curated." ~ name ~ "::text, 100)" -%}
        {%- set key = key_of(contract)[0] -%}
        {%- set unreadable = query("
            select curated." ~ key ~ "::text || " ~ shown ~ "
            from " ~ relation ~ " as curated
            where
                not pg_input_is_valid(curated." ~ name ~ "::text, '" ~ column.data_type ~ "')
                and exists (
                    select from journal.edits
                    where
                        edits.entity = '" ~ contract.name ~ "'
                        and edits.key = curated." ~ key ~ "::text
                        and edits.edited_at = curated.updated_at
                        and edits.edited_by = curated.updated_by
                )
            order by 1
            limit 20
        ") | map(attribute=0) | list -%}
        {%- do faults.append(
            name ~ ' becomes ' ~ column.data_type ~ ', and what people wrote into these rows is none:\n'
            ~ unreadable | join('\n')
        ) if unreadable -%}
    {%- endfor -%}
    {%- if faults -%}
        {{ exceptions.raise_compiler_error(
            contract.name ~ ': the table was left as it is. Change these values by the API to what can be'
            ~ ' read (or to null), or delete the rows, then build again: ' ~ faults | join('\n')
        ) }}
    {%- endif -%}
{%- endmacro %}

{#- Takes away what PostgreSQL would not let a column be changed under: constraints, triggers and
    the index of words. They are made again by the same build, from the contract. -#}
{% macro let_go_of(contract, relation, columns) -%}
    {%- set list = "array['" ~ columns | join("', '") ~ "']" -%}
    {%- set views = query("
        select distinct pg_rewrite.ev_class::regclass::text
        from pg_catalog.pg_depend
        inner join pg_catalog.pg_rewrite
            on pg_rewrite.oid = pg_depend.objid and pg_depend.classid = 'pg_rewrite'::regclass
        inner join pg_catalog.pg_attribute on attrelid = refobjid and attnum = refobjsubid
        where refobjid = '" ~ relation ~ "'::regclass and attname = any(" ~ list ~ ")
    ") | map(attribute=0) | list -%}
    {{ exceptions.raise_compiler_error(
        contract.name ~ ': ' ~ columns | join(', ') ~ ' cannot have another type while '
        ~ views | join(', ') ~ ' is made from it: drop it, build, and make it again.'
    ) if views }}
    {%- set rules = [] -%}
    {%- for rule in contract_rules(contract) if rule.columns | select('in', columns) | list -%}
        {%- do rules.append(contract.alias ~ '__' ~ rule.name) -%}
    {%- endfor -%}
    {%- set clauses = [] -%}
    {%- for row in query("
        select quote_ident(conname)
        from pg_catalog.pg_constraint
        where
            conrelid = '" ~ relation ~ "'::regclass
            and contype in ('c', 'f', 'n', 'u', 'x')
            and (
                conname = any(array['" ~ rules | join("', '") ~ "'])
                or exists (
                    select from pg_catalog.pg_attribute
                    where
                        attrelid = conrelid and attnum = any(conkey)
                        and attname = any(" ~ list ~ ")
                )
            )
    ") -%}
        {%- do clauses.append('drop constraint ' ~ row[0]) -%}
    {%- endfor -%}
    {%- do change_table(relation, 'alter table ' ~ relation ~ ' ' ~ clauses | join(', ')) if clauses -%}
    {%- for row in query("
        select quote_ident(tgname)
        from pg_catalog.pg_trigger
        where
            tgrelid = '" ~ relation ~ "'::regclass
            and obj_description(tgfoid, 'pg_proc') ~ '^[a-z0-9_]+ [0-9a-f]{32}$'
    ") -%}
        {%- do change_table(relation, 'drop trigger ' ~ row[0] ~ ' on ' ~ relation) -%}
    {%- endfor -%}
    {%- do execute_sql('drop index if exists ' ~ relation.schema ~ '.' ~ contract.alias ~ '__search') -%}
{%- endmacro %}

{#- Triggers on a table that other models' rules put there. -#}
{% macro define_triggers_of_others(contract) -%}
    {%- for other in curated_models() if other.name != contract.name and columns_of(relation_of(other)) -%}
        {%- for trigger in wanted_triggers(other).values() if table_of(contract) in trigger.tables -%}
            {%- do define_triggers(other, relation_of(other)) if loop.first -%}
        {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}

{#- A load is taken, or taken back, by a table that a build has made what the contract says. -#}
{% macro refuse_outdated_table(contract) -%}
    {%- set changes = differing_columns(contract, relation_of(contract)) -%}
    {{ exceptions.raise_compiler_error(
        contract.name ~ ': the columns of the table are not those of the contract yet: build it first,'
        ~ ' `dbt build --select +' ~ contract.name ~ '`.'
    ) if changes }}
{%- endmacro %}
