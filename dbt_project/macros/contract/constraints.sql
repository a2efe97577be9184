{#- The constraints that PostgreSQL is to enforce, each {name, definition}.
    Their names are `<table>__<rule>`: from a violated constraint the API finds
    the rule and its message. -#}
{% macro contract_constraints(contract) -%}
    {%- set constraints = [] -%}
    {%- for rule in contract_rules(contract) if rule.severity == 'error' -%}
        {%- if rule.kind == 'check' -%}
            {%- set definition = 'check (' ~ rule.expression ~ ')' -%}
        {%- elif rule.kind == 'unique' and rule.columns == key_of(contract) -%}
            {%- set definition = 'primary key (' ~ rule.columns | join(', ') ~ ')' -%}
        {%- elif rule.kind == 'unique' -%}
            {%- set definition = 'unique (' ~ rule.columns | join(', ') ~ ')' -%}
        {%- elif rule.kind == 'not_null' -%}
            {%- set definition = 'not null ' ~ rule.columns[0] -%}
        {%- else -%}
            {%- set definition = none -%}
        {%- endif -%}
        {%- if definition -%}
            {%- set name = contract.alias ~ '__' ~ rule.name -%}
            {%- if name | length > 63 -%}
                {{ exceptions.raise_compiler_error(
                    "The constraint name " ~ name ~ " is longer than PostgreSQL's 63"
                    ~ " characters: shorten the rule's name."
                ) }}
            {%- endif -%}
            {%- do constraints.append({'name': name, 'definition': definition, 'rule': rule}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for constraint in contract.constraints
        if constraint.type not in ('check', 'unique', 'primary_key') -%}
        {{ exceptions.raise_compiler_error(
            contract.name ~ ": constraints of type " ~ constraint.type ~ " are not supported."
        ) }}
    {%- endfor -%}
    {{ return(constraints) }}
{%- endmacro %}

{#- The constraint that holds a rule, or nothing. A functional dependency is held
    by the uniqueness of its determinant. -#}
{% macro constraint_of(contract, rule) -%}
    {%- set constraints = contract_constraints(contract) -%}
    {%- for constraint in constraints -%}
        {%- if constraint.rule.name == rule.name
            or (
                rule.kind == 'dependency' and constraint.rule.kind == 'unique'
                and constraint.rule.columns == [rule.determinant]
            ) -%}
            {{ return(constraint) }}
        {%- endif -%}
    {%- endfor -%}
    {%- if rule.kind == 'dependency' -%}
        {{ exceptions.raise_compiler_error(
            contract.name ~ ": the rule " ~ rule.name ~ " needs a unique constraint on "
            ~ rule.determinant ~ ", or nothing in the table would enforce it."
        ) }}
    {%- endif -%}
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

{#- SQL: changes when the text of a constraint or of any of our functions does. -#}
{% macro fingerprint(constraint) -%}
    md5('{{ local_md5(constraint.definition) }}' || coalesce((
        select string_agg(functions.prosrc, '' order by functions.oid)
        from pg_catalog.pg_proc as functions
        where
            functions.pronamespace = 'public'::regnamespace
            and functions.prolang = (select oid from pg_language where lanname = 'sql')
    ), ''))
{%- endmacro %}

{#- Makes the constraints of a table equal to its contract's, and says what it
    changed. Where existing rows break a new rule it fails, naming rows, and the
    table stays as it was. All are added in one statement, so that the rows are
    read once. -#}
{% macro apply_constraints(contract, relation, is_new=false) -%}
    {%- set wanted = contract_constraints(contract) -%}
    {%- set names = wanted | map(attribute='name') | list -%}
    {%- set changes = [] -%}

    {%- set superfluous = query("
        select conname from pg_catalog.pg_constraint
        where conrelid = '" ~ relation ~ "'::regclass
            and contype in ('c', 'u', 'p', 'n')
            and not conname = any(array['" ~ names | join("', '") ~ "'])
            and not (contype = 'n' and exists (
                select from pg_catalog.pg_constraint as keys
                where keys.conrelid = pg_constraint.conrelid
                    and keys.contype = 'p' and keys.conkey @> pg_constraint.conkey
            ))
    ") -%}
    {%- for row in superfluous -%}
        {%- do changes.append('drop constraint ' ~ adapter.quote(row[0])) -%}
        {{ log(relation.identifier ~ ': dropped constraint ' ~ row[0], info=true) }}
    {%- endfor -%}

    {%- set missing = [] -%}
    {%- for constraint in wanted if not query('select ' ~ is_enforced(constraint, relation))[0][0] -%}
        {%- do missing.append(constraint) -%}
        {%- if not is_new -%}
            {%- do refuse_breaking_rows(constraint.rule, relation) -%}
            {%- do changes.append('drop constraint if exists ' ~ constraint.name) -%}
            {{ log(relation.identifier ~ ': added constraint ' ~ constraint.name, info=true) }}
        {%- endif -%}
        {%- do changes.append(
            'add constraint ' ~ constraint.name ~ ' ' ~ constraint.definition
        ) -%}
    {%- endfor -%}

    {%- do execute_sql(
        'alter table ' ~ relation ~ ' ' ~ changes | join(', ')
    ) if changes -%}
    {%- for constraint in missing -%}
        {%- do execute_sql(
            "do $do$ begin execute format('comment on constraint " ~ constraint.name
            ~ ' on ' ~ relation ~ " is %L', " ~ fingerprint(constraint) ~ '); end $do$'
        ) -%}
    {%- endfor -%}
{%- endmacro %}

{% macro refuse_breaking_rows(rule, relation) -%}
    {%- set breaking = query(
        'select to_jsonb(breaking)::text from (' ~ rows_breaking(rule, relation)
        ~ ' limit 20) as breaking'
    ) -%}
    {%- if breaking -%}
        {{ exceptions.raise_compiler_error(
            relation.identifier ~ ' has rows that break the rule ' ~ rule.name
            ~ '; the table was left as it is. Mend these, then build again:\n'
            ~ breaking | map(attribute=0) | join('\n')
        ) }}
    {%- endif -%}
{%- endmacro %}
