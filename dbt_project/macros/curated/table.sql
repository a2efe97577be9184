{#- A curated table and its ledger: made, and made equal to the contract. -#}

{#- What the engine does not do is said before it does anything. -#}
{% macro refuse_unsupported(contract) -%}
    {%- set faults = [] -%}
    {%- set key = key_of(contract) -%}
    {%- set key_type = contract.columns[key[0]].data_type -%}
    {%- if key | length > 1 -%}
        {%- do faults.append('a primary key has one column') -%}
    {%- elif key_type not in ('uuid', 'text', 'smallint', 'integer', 'bigint') -%}
        {#- the journal knows keys by their text, so a key has one text only -#}
        {%- do faults.append('a key is uuid, text or an integer, not ' ~ key_type) -%}
    {%- endif -%}
    {%- for name, column in contract.columns.items() -%}
        {%- if not modules.re.fullmatch('[a-z][a-z0-9_]*', name) -%}
            {%- do faults.append('a column is named in lower case, not ' ~ name) -%}
        {%- endif -%}
        {%- for constraint in column.constraints if constraint.type != 'not_null' -%}
            {%- do faults.append(
                'write the ' ~ constraint.type ~ ' of ' ~ name ~ ' at model level'
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for rule in contract_rules(contract) -%}
        {%- if not modules.re.fullmatch('[a-z][a-z0-9_]*', rule.name) -%}
            {%- do faults.append('a rule is named in lower case, not ' ~ rule.name) -%}
        {%- endif -%}
        {%- for name in rule.over -%}
            {#- its loads would not be judged by the rule, and stop at its trigger -#}
            {%- do faults.append(
                'the rule ' ~ rule.name ~ ' reads ' ~ name ~ ', which loads feed: write it there'
            ) if rule.severity == 'error' and source_tables_of(contract_of(name)) -%}
            {%- do faults.append(
                'the rule ' ~ rule.name ~ ' reads ' ~ name ~ ", which is to be built before: add"
                ~ " `-- depends_on: {{ ref('" ~ name ~ "') }}`"
            ) if contract_of(name).unique_id not in contract.depends_on.nodes -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if faults -%}
        {{ exceptions.raise_compiler_error(contract.name ~ ': ' ~ faults | join('; ') ~ '.') }}
    {%- endif -%}
{%- endmacro %}

{#- Makes the table where it is missing; whether it was. -#}
{% macro make_curated_table(contract, relation) -%}
    {%- if columns_of(relation) -%}
        {%- do refuse_other_key(contract, relation) -%}
        {{ return(false) }}
    {%- endif -%}
    {%- do execute_sql(
        'create schema if not exists ' ~ relation.schema ~ ';'
        ~ ' create table ' ~ relation ~ ' (' ~ columns_sql(contract) ~ ')'
    ) -%}
    {%- set key = key_of(contract)[0] -%}
    {#- rows that are born in the API have their keys of it; assay/catalog.py knows its name -#}
    {%- do execute_sql(
        'create sequence ' ~ table_of(contract) ~ '__' ~ key ~ ' owned by ' ~ table_of(contract) ~ '.' ~ key
    ) if contract.columns[key].config.meta.sequence -%}
    {{ return(true) }}
{%- endmacro %}

{% macro columns_sql(contract) -%}
    {%- for name, column in contract.columns.items() -%}
    {{ name }} {{ column.data_type }},
    {% endfor -%}
    {{ last_writer() }}
{%- endmacro %}

{#- The transaction that wrote a row last, for readers of the feed of changes. -#}
{% macro last_writer() -%}
    _transaction_id xid8 not null default pg_current_xact_id()
{%- endmacro %}

{#- {column: type} of a table; empty where there is none. -#}
{% macro columns_of(relation) -%}
    {{ return(dict(query("
        select attname, format_type(atttypid, atttypmod)
        from pg_catalog.pg_attribute
        where attrelid = to_regclass('" ~ relation ~ "') and attnum > 0 and not attisdropped
    "))) }}
{%- endmacro %}

{#- What the journal and the ledger know rows by cannot change under them. -#}
{% macro refuse_other_key(contract, relation) -%}
    {%- set today = query("
        select attname
        from pg_catalog.pg_constraint
        inner join pg_catalog.pg_attribute on attrelid = conrelid and attnum = any(conkey)
        where conrelid = '" ~ relation ~ "'::regclass and contype = 'p'
    ") | map(attribute=0) | list -%}
    {%- set key = key_of(contract) -%}
    {%- if today and (today != key or key[0] in other_types(contract, relation)) -%}
        {{ exceptions.raise_compiler_error(
            contract.name ~ ': the key of the table is ' ~ today[0] ~ ', ' ~ columns_of(relation)[today[0]]
            ~ ', and history knows its rows by it; give a model with another key, or a key of another'
            ~ ' type, another name.'
        ) }}
    {%- endif -%}
{%- endmacro %}

{#- Makes the columns of the table those of the contract, and says what it changed. -#}
{% macro alter_columns(contract, relation) -%}
    {%- set changes = differing_columns(contract, relation) -%}
    {%- set retyped = other_types(contract, relation) -%}
    {%- do let_go_of(contract, relation, retyped) if retyped -%}
    {%- if changes -%}
        {#- the view would hold the columns as they are; `define_versions` makes it again -#}
        {%- do change_table(
            relation,
            'drop view if exists ' ~ changes_of(contract)
            ~ '; alter table ' ~ relation ~ ' ' ~ changes | join(', ')
        ) -%}
    {%- endif -%}
    {%- for change in changes -%}
        {{ log(relation.identifier ~ ': ' ~ change, info=true) }}
    {%- endfor -%}
{%- endmacro %}

{#- What makes the columns of the table those of the contract, as clauses of an
    `alter table`. A column that the contract no longer has stays, with what it holds. -#}
{% macro differing_columns(contract, relation) -%}
    {%- set existing = columns_of(relation) -%}
    {%- set retyped = other_types(contract, relation) -%}
    {%- set changes = [] -%}
    {%- for name, column in contract.columns.items() -%}
        {%- if name not in existing -%}
            {%- do changes.append('add column ' ~ name ~ ' ' ~ column.data_type) -%}
        {%- elif name in retyped -%}
            {%- do changes.append(
                'alter column ' ~ name ~ ' type ' ~ column.data_type
                ~ ' using ' ~ value_as_typed(name, name, column.data_type)
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if '_transaction_id' not in existing -%}
        {%- do changes.append('add column ' ~ last_writer()) -%}
    {%- elif retyped -%}
        {#- readers of the feed see all rows again -#}
        {%- do changes.append('alter column _transaction_id type xid8 using pg_current_xact_id()') -%}
    {%- endif -%}
    {{ return(changes) }}
{%- endmacro %}

{#- The columns that the table has under another type than the contract. -#}
{% macro other_types(contract, relation) -%}
    {%- set declared = [] -%}
    {%- for name, column in contract.columns.items() -%}
        {%- do declared.append("('" ~ name ~ "', '" ~ column.data_type ~ "')") -%}
    {%- endfor -%}
    {{ return(query("
        select declared.name
        from (values " ~ declared | join(', ') ~ ") as declared (name, data_type)
        inner join pg_catalog.pg_attribute
            on
                attrelid = to_regclass('" ~ relation ~ "')
                and attname = declared.name
                and not attisdropped
        where
            format_type(atttypid, atttypmod)
            <> format_type(to_regtype(declared.data_type), to_regtypemod(declared.data_type))
    ") | map(attribute=0) | list) }}
{%- endmacro %}

{#- The ledger: what the source said of each key, one row for each time that it was
    accepted and news. The last of a key says what is no news if it is sent again,
    also of keys that were since edited or deleted; none where that was forgotten. -#}
{% macro ledger_of(contract) -%}
    {{ contract.get('ledger', 'journal.ledger_' ~ contract.name) }}
{%- endmacro %}

{% macro has_ledger(contract) -%}
    {{ return('is_last' in columns_of(ledger_of(contract))) }}
{%- endmacro %}

{% macro make_ledger(contract) -%}
    {%- do execute_sql(
        'drop table if exists ' ~ ledger_of(contract) ~ '; create table ' ~ ledger_of(contract) ~ ' ('
        ~ 'key ' ~ contract.columns[key_of(contract)[0]].data_type ~ ' not null,'
        ~ ' load_id bigint not null, row_number bigint not null,'
        ~ ' hash uuid not null, is_last boolean not null)'
    ) -%}
{%- endmacro %}

{#- Made after the first load, like the constraints of the table. -#}
{% macro add_ledger_key(contract) -%}
    {%- do execute_sql(
        'alter table ' ~ ledger_of(contract) ~ ' add primary key (key, load_id)'
    ) if not query("
        select exists (
            select from pg_catalog.pg_constraint
            where conrelid = '" ~ ledger_of(contract) ~ "'::regclass and contype = 'p'
        )
    ")[0][0] -%}
{%- endmacro %}
