{#- The constraints that PostgreSQL is to enforce, each {name, definition}.
    Their names are `<table>__<rule>`: from a violated constraint the API finds
    the rule and its message. -#}
{% macro contract_constraints(contract) -%}
    {%- set constraints = [] -%}
    {%- set rules = contract_rules(contract) | selectattr('severity', 'equalto', 'error') | list -%}
    {#- a primary key would name those of its columns itself -#}
    {%- set not_null = rules | selectattr('kind', 'equalto', 'not_null') | list -%}
    {%- for rule in not_null + rules | rejectattr('kind', 'equalto', 'not_null') | list -%}
        {%- if rule.kind == 'check' -%}
            {%- set definition = 'check (' ~ rule.expression ~ ')' -%}
        {%- elif rule.kind == 'unique' and rule.columns == key_of(contract) -%}
            {%- set definition = 'primary key (' ~ rule.columns | join(', ') ~ ')' -%}
        {%- elif rule.kind == 'unique' and rule.where -%}
            {%- set definition = 'exclude using btree (' ~ rule.columns | join(' with =, ')
                ~ ' with =) where (' ~ rule.where ~ ')' ~ deferrable(contract, rule) -%}
        {%- elif rule.kind == 'computed' -%}
            {%- set definition = 'exclude using btree (' ~ computed_key(contract, rule) ~ ' with =)' -%}
        {%- elif rule.kind == 'unique' -%}
            {%- set definition = 'unique (' ~ rule.columns | join(', ') ~ ')'
                ~ deferrable(contract, rule) -%}
        {%- elif rule.kind == 'reference' -%}
            {#- Deferrable: a build takes rows out before it puts them in again. Judged at once
                otherwise: whoever writes is to know which of his rows is refused. -#}
            {%- set target = references_of(contract)[rule.columns[0]] -%}
            {%- set definition = 'foreign key (' ~ rule.columns[0] ~ ') references '
                ~ table_of(target) ~ ' (' ~ key_of(target)[0] ~ ') deferrable' -%}
        {%- elif rule.kind == 'not_null' -%}
            {%- set definition = 'not null ' ~ rule.columns[0] -%}
        {%- else -%}
            {%- set definition = none -%}
        {%- endif -%}
        {%- if definition -%}
            {%- do constraints.append({
                'name': constraint_name(contract, rule), 'definition': definition, 'rule': rule,
            }) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for constraint in contract.constraints
        if constraint.type not in ('check', 'unique', 'primary_key', 'foreign_key') -%}
        {{ exceptions.raise_compiler_error(
            contract.name ~ ": constraints of type " ~ constraint.type ~ " are not supported."
        ) }}
    {%- endfor -%}
    {{ return(constraints) }}
{%- endmacro %}

{#- Rows may exchange what is unique in one statement: it is judged at the end of that, and
    in a build after the last. -#}
{% macro deferrable(contract, rule) -%}
    {{ ' deferrable' if is_deferrable(contract, rule) }}
{%- endmacro %}

{#- Links are written `on conflict`, which wants to know at once. What a key is computed from is
    judged before the key, so that who makes a row that is there is told by that rule. -#}
{% macro is_deferrable(contract, rule) -%}
    {%- set formula = contract.columns[key_of(contract)[0]].config.meta.default -%}
    {%- set is_natural = formula and not rule.where
        and columns_in(contract, formula) | sort == rule.columns | sort -%}
    {{ return(not linked_by(contract) and not is_natural) }}
{%- endmacro %}

{% macro constraint_name(contract, rule) -%}
    {%- set name = contract.alias ~ '__' ~ rule.name -%}
    {%- if name | length > 63 -%}
        {{ exceptions.raise_compiler_error(
            "The constraint name " ~ name ~ " is longer than PostgreSQL's 63"
            ~ " characters: shorten the rule's name."
        ) }}
    {%- endif -%}
    {{ return(name) }}
{%- endmacro %}

{#- The constraint that holds a rule, or nothing. A functional dependency is held
    by the uniqueness of its determinant, if it is unique. -#}
{% macro constraint_of(contract, rule) -%}
    {%- set constraints = contract_constraints(contract) -%}
    {%- for constraint in constraints -%}
        {%- if constraint.rule.name == rule.name
            or (
                rule.kind == 'dependency' and constraint.rule.kind == 'unique'
                and not constraint.rule.where
                and constraint.rule.columns | sort == rule.determinant | sort
            ) -%}
            {{ return(constraint) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(none) }}
{%- endmacro %}

{#- SQL, true while PostgreSQL itself holds a rule of a table: the constraint is
    there, validated, and made from the text that the contract has today. -#}
{% macro is_enforced(constraint, relation) -%}
    exists (
        select
        from pg_catalog.pg_constraint as constraints
        where
            constraints.conrelid = '{{ relation }}'::regclass
            and constraints.conname = '{{ constraint.name }}'
            and constraints.convalidated
            and constraints.conenforced
            and obj_description(constraints.oid, 'pg_constraint')
            = {{ fingerprint(constraint) }}
    )
{%- endmacro %}

{#- SQL: changes when the text of a constraint does, or of any function that a check
    may call. -#}
{% macro fingerprint(constraint) -%}
    md5('{{ local_md5(constraint.definition ~ (constraint.rule.formula or '')) }}'
    {%- if constraint.rule.kind == 'check' %} || coalesce((
        select string_agg(functions.prosrc, '' order by functions.oid)
        from pg_catalog.pg_proc as functions
        where
            functions.pronamespace = 'public'::regnamespace
            and functions.prolang = (select oid from pg_language where lanname = 'sql')
    ), '')
    {%- endif %})
{%- endmacro %}

{#- Drops the constraints of a table that are not the contract's, or no longer as
    its contract says. With `add_missing_constraints` it makes them equal, in one
    transaction: where existing rows break a new rule it fails, naming rows, and
    the table stays as it was. -#}
{% macro drop_outdated_constraints(contract, relation) -%}
    {%- do rename_not_null_constraints(contract, relation) -%}
    {%- set kept = [] -%}
    {%- for constraint in contract_constraints(contract)
        if query('select ' ~ is_enforced(constraint, relation))[0][0] -%}
        {%- do kept.append(constraint.name) -%}
    {%- endfor -%}
    {%- set outdated = query("
        select quote_ident(conname) from pg_catalog.pg_constraint
        where conrelid = '" ~ relation ~ "'::regclass
            and contype in ('c', 'f', 'n', 'p', 'u', 'x')
            and not conname = any(array['" ~ kept | join("', '") ~ "'])
            and not (contype = 'n' and (
                conkey = array[(
                    select attnum from pg_catalog.pg_attribute
                    where attrelid = conrelid and attname = '_transaction_id'
                )]
                or exists (
                    select from pg_catalog.pg_constraint as keys
                    where keys.conrelid = pg_constraint.conrelid
                        and keys.contype = 'p' and keys.conkey @> pg_constraint.conkey
                )
            ))
    ") | map(attribute=0) | list -%}
    {%- for name in outdated -%}
        {{ log(relation.identifier ~ ': dropped constraint ' ~ name, info=true) }}
    {%- endfor -%}
    {%- do change_table(
        relation, 'alter table ' ~ relation ~ ' drop constraint ' ~ outdated | join(', drop constraint ')
    ) if outdated -%}
{%- endmacro %}

{#- A column has one not-null constraint, so one under another name is renamed. -#}
{% macro rename_not_null_constraints(contract, relation) -%}
    {%- for constraint in contract_constraints(contract) if constraint.rule.kind == 'not_null' -%}
        {%- set others = query("
            select quote_ident(conname)
            from pg_catalog.pg_constraint
            inner join pg_catalog.pg_attribute on attrelid = conrelid and array[attnum] = conkey
            where conrelid = '" ~ relation ~ "'::regclass and contype = 'n'
                and attname = '" ~ constraint.rule.columns[0] ~ "'
                and conname <> '" ~ constraint.name ~ "'
        ") -%}
        {%- for other in others -%}
            {%- do change_table(
                relation,
                'alter table ' ~ relation ~ ' rename constraint ' ~ other[0] ~ ' to ' ~ constraint.name
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}

{#- Adds the constraints of the contract that a table has not, and says which: all in
    one statement, so that the rows are read once. -#}
{% macro add_missing_constraints(contract, relation, is_new=false) -%}
    {%- set missing, additions = [], [] -%}
    {%- for constraint in contract_constraints(contract)
        if not query('select ' ~ is_enforced(constraint, relation))[0][0] -%}
        {%- if not is_new -%}
            {%- do refuse_breaking_rows(contract, constraint.rule, relation) -%}
            {{ log(relation.identifier ~ ': added constraint ' ~ constraint.name, info=true) }}
        {%- endif -%}
        {%- do missing.append(constraint) -%}
        {#- A renamed one is there. A key comes last: PostgreSQL would make the not-null
            constraint of its column itself, under another name. -#}
        {%- do additions.insert(
            0 if constraint.rule.kind == 'not_null' else additions | length,
            'add constraint ' ~ constraint.name ~ ' ' ~ constraint.definition
        ) if not has_constraint(constraint, relation) -%}
    {%- endfor -%}
    {%- do change_table(
        relation, 'alter table ' ~ relation ~ ' ' ~ additions | join(', ')
    ) if additions -%}
    {%- for constraint in missing -%}
        {%- do execute_sql(
            "do $do$ begin execute format('comment on constraint " ~ constraint.name
            ~ ' on ' ~ relation ~ " is %L', " ~ fingerprint(constraint) ~ '); end $do$'
        ) -%}
    {%- endfor -%}
{%- endmacro %}

{% macro has_constraint(constraint, relation) -%}
    {{ return(query("
        select exists (
            select from pg_catalog.pg_constraint
            where conrelid = '" ~ relation ~ "'::regclass and conname = '" ~ constraint.name ~ "'
        )
    ")[0][0]) }}
{%- endmacro %}

{#- What it says stands in logs, so personal columns are left out of the rows. -#}
{% macro refuse_breaking_rows(contract, rule, relation) -%}
    {%- set personal = [] -%}
    {%- for column in contract.columns.values() if column.config.meta.pii -%}
        {%- do personal.append(column.name) -%}
    {%- endfor -%}
    {%- set breaking = query(
        "select (to_jsonb(breaking) - array['" ~ personal | join("', '") ~ "'])::text from ("
        ~ rows_breaking(contract, rule, relation) ~ ' limit 20) as breaking'
    ) -%}
    {%- if breaking -%}
        {{ exceptions.raise_compiler_error(
            relation.identifier ~ ' has rows that break the rule ' ~ rule.name
            ~ '; the table was left as it is. Mend these, then build again:\n'
            ~ breaking | map(attribute=0) | join('\n')
        ) }}
    {%- endif -%}
{%- endmacro %}

{#- Whoever deletes a row looks for those that refer to it: each such column leads an index. -#}
{% macro add_missing_indexes(contract, relation) -%}
    {%- for column in references_of(contract) -%}
        {%- do add_missing_index(relation, [column]) -%}
    {%- endfor -%}
    {%- do add_indexes_of_links(contract, relation) -%}
{%- endmacro %}

{#- Whoever writes a row with a determinant looks for another value of what depends on it. -#}
{% macro add_indexes_of_links(contract, relation) -%}
    {%- for rule in links_of(contract) -%}
        {%- for column in rule.dependent -%}
            {%- do add_missing_index(relation, rule.determinant + [column]) -%}
        {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}

{#- An index that begins with these columns, unless there is one. -#}
{% macro add_missing_index(relation, columns) -%}
    {%- do execute_sql('create index on ' ~ relation ~ ' (' ~ columns | join(', ') ~ ')') if not query("
        select exists (
            select from pg_catalog.pg_index
            where
                indrelid = '" ~ relation ~ "'::regclass
                and indpred is null
                and (
                    select array_agg(attname::text order by place)
                    from unnest(indkey::smallint[]) with ordinality as named (number, place)
                    inner join pg_catalog.pg_attribute on attrelid = indrelid and attnum = number
                    where place <= " ~ columns | length ~ "
                ) = array['" ~ columns | join("', '") ~ "']
        )
    ")[0][0] -%}
{%- endmacro %}
