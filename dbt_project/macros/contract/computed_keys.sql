{#- A key that the contract computes from other columns makes what it is computed from a
    uniqueness: the key of a row stays when the row is edited, so that without it a row could
    be edited into another one. -#}

{#- The rule, in a list; none where the key is not computed, or where a uniqueness says as much.
    The macro's like is `_computed_key` of assay/catalog.py. -#}
{% macro computed_key_rules(contract, rules) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set formula = contract.columns[key].config.meta.default if key in contract.columns -%}
    {%- set columns = columns_in(contract, formula) if formula else [] -%}
    {%- set ns = namespace(is_said=not columns) -%}
    {%- if is_told_by_columns(contract, formula, columns) -%}
        {%- for rule in rules if rule.kind == 'unique' and not rule.where and rule.severity == 'error' -%}
            {%- set ns.is_said = ns.is_said or rule.columns | sort == columns | sort -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return([] if ns.is_said else [{
        'name': key ~ '_computed_unique', 'kind': 'computed', 'columns': columns, 'formula': formula,
        'severity': 'error', 'expression': none, 'where': none,
    }]) }}
{%- endmacro %}

{#- The columns that an expression reads: its words that are neither text, a function nor a type. -#}
{% macro columns_in(contract, expression) -%}
    {%- set words = modules.re.findall(
        "(?<![\\w.:])[a-z_][a-z0-9_]*(?![a-z0-9_]|\\s*[('])",
        modules.re.sub("'[^']*'", "''", expression | lower)
    ) -%}
    {{ return(contract.columns.keys() | reject('in', key_of(contract)) | select('in', words) | list) }}
{%- endmacro %}

{#- Whether rows that differ in the columns of a formula differ in what it gives, and those that
    have nulls have none or are not there. -#}
{% macro is_told_by_columns(contract, formula, columns) -%}
    {%- set functions = modules.re.findall(
        '([a-z_][a-z0-9_]*)\\s*\\(', modules.re.sub("'[^']*'", "''", formula | lower if formula else '')
    ) -%}
    {%- set ns = namespace(has_nulls=false) -%}
    {%- for name in columns
        if not contract.columns[name].constraints | selectattr('type', 'equalto', 'not_null') | list -%}
        {%- set ns.has_nulls = true -%}
    {%- endfor -%}
    {%- set telling = ['md5'] if ns.has_nulls else ['md5', 'concat', 'concat_ws', 'coalesce'] -%}
    {{ return(not functions | reject('in', telling) | list) }}
{%- endmacro %}

{#- SQL: what the key of a row would be, were it made today. A function of its own, since an index
    takes what is immutable only, and much that computes keys is not called so. -#}
{% macro computed_key(contract, rule) -%}
    {{ contract.schema }}.{{ constraint_name(contract, rule) }}({{ rule.columns | join(', ') }})
{%- endmacro %}

{#- Rows beside their computed keys. -#}
{% macro with_computed_key(contract, rule, rows) -%}
    (select *, {{ computed_key(contract, rule) }} as _computed_key from {{ rows }} as computed)
{%- endmacro %}

{#- Before anything is judged by them. -#}
{% macro define_computed_keys(contract) -%}
    {%- for rule in contract_rules(contract) if rule.kind == 'computed' -%}
        {%- set arguments = [] -%}
        {%- for name in rule.columns -%}
            {%- do arguments.append(name ~ ' ' ~ contract.columns[name].data_type) -%}
        {%- endfor -%}
        {%- do execute_sql(
            'create or replace function ' ~ contract.schema ~ '.' ~ constraint_name(contract, rule)
            ~ ' (' ~ arguments | join(', ') ~ ') returns '
            ~ contract.columns[key_of(contract)[0]].data_type
            ~ ' language sql immutable parallel safe as $computed$ select ' ~ rule.formula ~ ' $computed$'
        ) -%}
    {%- endfor -%}
{%- endmacro %}
