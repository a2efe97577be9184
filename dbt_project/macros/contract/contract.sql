{#- The contract of a curated model, read from dbt's graph: the one place where
    its rules stand. docs/contract.md describes the vocabulary. -#}

{#- The model's node. Empty while dbt parses, when there is no graph yet. -#}
{% macro contract_of(model_name) -%}
    {%- for node in graph.nodes.values() -%}
        {%- if node.resource_type == 'model' and node.name == model_name -%}
            {{ return(node) }}
        {%- endif -%}
    {%- endfor -%}
    {{ exceptions.raise_compiler_error("There is no model named " ~ model_name ~ ".") }}
{%- endmacro %}

{#- The columns of the primary key. -#}
{% macro key_of(contract) -%}
    {%- for constraint in contract.constraints if constraint.type == 'primary_key' -%}
        {{ return(constraint.columns) }}
    {%- endfor -%}
    {{ exceptions.raise_compiler_error(
        contract.name ~ " has no primary_key constraint: add one at model level."
    ) }}
{%- endmacro %}

{#- The columns that a source fills: all but the platform's provenance. -#}
{% macro content_columns(contract) -%}
    {{ return(contract.columns.keys() | reject('in', ['updated_at', 'updated_by']) | list) }}
{%- endmacro %}

{#- All rules of a contract, each {name, kind, severity, columns, expression,
    where, determinant (columns), dependent, query, over}. Kinds: check, not_null, unique,
    dependency, reference, query, cast, fields, computed (what the key is computed from). A constraint that `config.meta.rules`
    does not name gets a name made from its columns; assay/catalog.py makes the same
    names. -#}
{% macro contract_rules(contract) -%}
    {%- set checks = {} -%}
    {%- for constraint in contract.constraints if constraint.type == 'check' -%}
        {%- do checks.update({constraint.name: constraint.expression}) -%}
    {%- endfor -%}

    {%- set rules, bounded = [], [] -%}
    {%- for declared in contract.config.meta.get('rules', []) -%}
        {%- set rule = {
            'name': declared.name,
            'severity': declared.get('severity', 'error'),
            'expression': none,
            'where': none,
        } -%}
        {%- if declared.determinant is defined -%}
            {%- set determinant = [declared.determinant]
                if declared.determinant is string else declared.determinant -%}
            {%- do rule.update({
                'kind': 'dependency',
                'columns': determinant + declared.dependent,
                'determinant': determinant,
                'dependent': declared.dependent,
            }) -%}
        {%- elif declared.unique is defined -%}
            {%- do rule.update(
                {'kind': 'unique', 'columns': declared.unique, 'where': declared.where}
            ) -%}
        {%- elif declared.reference is defined -%}
            {%- do rule.update({'kind': 'reference', 'columns': [declared.reference]}) -%}
        {%- elif declared.broken_by is defined -%}
            {%- do rule.update({
                'kind': 'query',
                'columns': declared.columns,
                'query': declared.broken_by,
                'over': declared.get('over', []),
            }) -%}
        {%- elif declared.not_null is defined -%}
            {%- do rule.update({'kind': 'not_null', 'columns': [declared.not_null]}) -%}
        {%- elif declared.cast is defined -%}
            {%- do rule.update({'kind': 'cast', 'columns': [declared.cast]}) -%}
        {%- elif declared.bound is defined -%}
            {%- do rule.update({
                'kind': 'check',
                'columns': [declared.bound],
                'expression': bound_of(declared.bound),
            }) -%}
            {%- do bounded.append(declared.bound) -%}
        {%- else -%}
            {%- do rule.update({
                'kind': 'check',
                'columns': declared.columns,
                'expression': declared.expression or checks.get(declared.name),
            }) -%}
            {%- if not rule.expression -%}
                {{ exceptions.raise_compiler_error(
                    contract.name ~ ": the rule " ~ declared.name
                    ~ " names no check constraint; add one of that name."
                ) }}
            {%- endif -%}
        {%- endif -%}
        {%- do rules.append(rule) -%}
    {%- endfor -%}

    {%- set implied = [{'name': 'field_count', 'kind': 'fields', 'columns': []}] -%}
    {%- for name, column in contract.columns.items() -%}
        {%- do implied.append({'name': name ~ '_type', 'kind': 'cast', 'columns': [name]}) -%}
        {#- a key that comes from a source is mandatory like any other column of it -#}
        {%- if
            column.constraints | selectattr('type', 'equalto', 'not_null') | list
            or (name in key_of(contract) and not column.config.meta.server_owned)
        -%}
            {%- do implied.append(
                {'name': name ~ '_required', 'kind': 'not_null', 'columns': [name]}
            ) -%}
        {%- endif -%}
        {#- a number of any size would be one that others cannot read -#}
        {%- if
            column.data_type in ('numeric', 'decimal')
            and name not in bounded
            and column.config.meta.get('bound', true)
        -%}
            {%- do implied.append({
                'name': name ~ '_bound',
                'kind': 'check',
                'columns': [name],
                'expression': bound_of(name),
            }) -%}
        {%- endif -%}
        {#- a column of some variants of the entity -#}
        {%- for by, values in column.config.meta.get('only', {}).items() -%}
            {%- do implied.append({
                'name': name ~ '_only',
                'kind': 'check',
                'columns': [by, name],
                'expression': by ~ " in ('" ~ values | join("', '") ~ "') or " ~ name ~ ' is null',
            }) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for constraint in contract.constraints if constraint.type in ('primary_key', 'unique') -%}
        {%- do implied.append({
            'name': constraint.columns | join('_') ~ '_unique',
            'kind': 'unique',
            'columns': constraint.columns,
        }) -%}
    {%- endfor -%}
    {%- for column in references_of(contract) -%}
        {%- do implied.append(
            {'name': column ~ '_exists', 'kind': 'reference', 'columns': [column]}
        ) -%}
    {%- endfor -%}
    {%- for name, expression in checks.items() -%}
        {%- do implied.append(
            {'name': name, 'kind': 'check', 'columns': [], 'expression': expression}
        ) -%}
    {%- endfor -%}

    {%- for rule in implied -%}
        {%- set ns = namespace(declared=false) -%}
        {%- for known in rules if known.kind == rule.kind -%}
            {#- a column has any number of checks -#}
            {%- set is_alike = known.columns == rule.columns and not known.where and rule.kind != 'check' -%}
            {%- if is_alike or known.name == rule.name -%}
                {%- set ns.declared = true -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if not ns.declared -%}
            {%- do rules.append(dict({'severity': 'error', 'expression': none, 'where': none}, **rule)) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do rules.extend(computed_key_rules(contract, rules)) -%}
    {{ return(rules) }}
{%- endmacro %}

{#- {column: SQL over `raw.loads`, true where a load had no header that the column hangs on}:
    its rows say nothing of the column then. A column hangs on what its `from` names, else
    on the source's columns that name it or are called like it. One that hangs on
    a mandatory header, or on none that is known, is not among these: each row says it. -#}
{% macro silences_of(contract) -%}
    {%- set silences = {} -%}
    {%- for table in source_tables_of(contract) -%}
        {%- set columns = source_node(table).columns -%}
        {%- for name in content_columns(contract) if name not in key_of(contract) -%}
            {%- set named = contract.columns[name].config.meta.get('from') -%}
            {%- set origins = [] -%}
            {%- for column in columns.values() -%}
                {%- do origins.append(column) if (
                    column.name in named if named is not none
                    else (column.config.meta.column or column.name) == name
                ) -%}
            {%- endfor -%}
            {%- if origins and not origins | selectattr('config.meta.mandatory') | list -%}
                {%- do silences.setdefault(name, []).append(
                    "loads.source_table = '" ~ table ~ "' and loads.absent_columns @> array['"
                    ~ origins | map(attribute='name') | join("', '") ~ "']"
                ) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for name, conditions in silences.items() -%}
        {%- do silences.update({name: '(' ~ conditions | join(' or ') ~ ')'}) -%}
    {%- endfor -%}
    {{ return(silences) }}
{%- endmacro %}

{#- The columns that a rule speaks of: those that it names, and those in its text. -#}
{% macro columns_of_rule(contract, rule) -%}
    {%- set words = modules.re.findall('\\w+', (rule.expression or '') ~ ' ' ~ (rule.where or '')) -%}
    {{ return((rule.columns + (content_columns(contract) | select('in', words) | list)) | unique | list) }}
{%- endmacro %}

{#- Functional dependencies of which several rows may have one determinant: no uniqueness holds
    them, so a trigger does. -#}
{% macro links_of(contract) -%}
    {%- set links = [] -%}
    {%- for rule in contract_rules(contract) if rule.kind == 'dependency' and rule.severity == 'error' -%}
        {%- do links.append(rule) if not constraint_of(contract, rule) -%}
    {%- endfor -%}
    {{ return(links) }}
{%- endmacro %}

{#- {column: determinants} of those that depend only on what several rows may have. -#}
{% macro determinants_of(contract) -%}
    {%- set held, found = [], {} -%}
    {%- for rule in contract_rules(contract) if rule.kind == 'dependency' -%}
        {%- do held.extend(rule.dependent) if constraint_of(contract, rule) -%}
    {%- endfor -%}
    {%- for rule in links_of(contract) -%}
        {%- for column in rule.dependent if column not in held -%}
            {%- do found.update({column: (found.get(column, []) + rule.determinant) | unique | list}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{#- A number that every program can read: within the range of double precision, with at most 40
    significant digits. The first line is all that is asked of nearly every one. -#}
{% macro bound_of(column) -%}
    (abs({{ column }}) < 1e15 and scale({{ column }}) <= 24)
    or (
        abs({{ column }}) <= 1.7976931348623157e308
        and (abs({{ column }}) >= 4.9406564584124654e-324 or {{ column }} = 0)
        and scale({{ column }}) <= 364
        and length(btrim(translate({{ column }}::text, '-.', ''), '0')) <= 40
    )
{%- endmacro %}

{#- {column: contract that it refers to}, by foreign keys of one column to a model's key.
    dbt puts the name of the table in the place of `ref('<model>')` when it runs the model. -#}
{% macro references_of(contract) -%}
    {%- set references = {} -%}
    {%- for constraint in contract.constraints if constraint.type == 'foreign_key' -%}
        {%- set name = modules.re.findall('\\w+', constraint.to) | last -%}
        {%- set found = curated_models() | selectattr('name', 'equalto', name) | list
            or curated_models() | selectattr('alias', 'equalto', name) | list -%}
        {%- if not found or constraint.columns | length > 1 -%}
            {{ exceptions.raise_compiler_error(
                contract.name ~ ": write a foreign key as one column, and `to: ref('<model>')`."
            ) }}
        {%- endif -%}
        {%- do references.update({constraint.columns[0]: found[0]}) -%}
    {%- endfor -%}
    {{ return(references) }}
{%- endmacro %}
