{#- What a constraint cannot hold PostgreSQL holds by triggers: rules over several rows
    or tables, and that a row has another version when its links have. -#}

{#- Makes the triggers of a contract what it says. Their functions are named
    `<table>__<rule>`, and commented with a fingerprint. -#}
{% macro define_triggers(contract, relation) -%}
    {%- set wanted = {} -%}
    {%- for rule in contract_rules(contract) if rule.kind == 'query' and rule.severity == 'error' -%}
        {%- set tables = [table_of(contract)] -%}
        {%- for name in rule.over -%}
            {%- do tables.append(table_of(contract_of(name))) -%}
        {%- endfor -%}
        {%- do wanted.update({contract.alias ~ '__' ~ rule.name: {
            'body': refusal_of(contract, rule), 'tables': tables, 'level': 'statement', 'rule': rule,
        }}) -%}
    {%- endfor -%}
    {%- if linked_by(contract) -%}
        {%- do wanted.update({contract.alias ~ '__links': {
            'body': touch_of(contract), 'tables': [table_of(contract)], 'level': 'row',
        }}) -%}
    {%- endif -%}

    {%- set found = dict(query("
        select proname, obj_description(oid, 'pg_proc')
        from pg_catalog.pg_proc
        where
            pronamespace = '" ~ contract.schema ~ "'::regnamespace
            and prorettype = 'trigger'::regtype
            and starts_with(proname, '" ~ contract.alias ~ "__')
    ")) -%}
    {%- for name in found if name not in wanted -%}
        {%- do execute_sql('drop function ' ~ contract.schema ~ '.' ~ name ~ ' cascade') -%}
        {{ log(contract.alias ~ ': dropped trigger ' ~ name, info=true) }}
    {%- endfor -%}
    {%- for name, trigger in wanted.items() -%}
        {%- set fingerprint = local_md5(trigger | string) -%}
        {%- if found.get(name) != fingerprint -%}
            {%- do define_trigger(contract.schema ~ '.' ~ name, name, trigger, fingerprint) -%}
            {%- do refuse_breaking_rows(contract, trigger.rule, relation) if trigger.rule -%}
            {{ log(contract.alias ~ ': added trigger ' ~ name, info=true) if found }}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{% macro define_trigger(function, name, trigger, fingerprint) -%}
    {%- do execute_sql('drop function if exists ' ~ function ~ ' cascade') -%}
    {%- do execute_sql(
        'create function ' ~ function ~ '() returns trigger language plpgsql as $trigger$ '
        ~ trigger.body ~ ' $trigger$; comment on function ' ~ function ~ " is '" ~ fingerprint ~ "'"
    ) -%}
    {%- for table in trigger.tables -%}
        {%- do execute_sql(
            'create trigger ' ~ name ~ ' after insert or update or delete on ' ~ table
            ~ ' for each ' ~ trigger.level ~ ' execute function ' ~ function ~ '()'
        ) -%}
    {%- endfor -%}
{%- endmacro %}

{#- Refuses a statement that breaks a rule over several rows. Two writers could break it
    together where neither sees what the other writes: so they take turns, from the end of
    the statement to that of the transaction, and the query sees all before it. -#}
{% macro refusal_of(contract, rule) -%}
    begin
        perform pg_advisory_xact_lock(hashtextextended('rules of {{ neighbours(contract) | first }}', 0));
        if exists ({{ query_of(contract, rule, table_of(contract)) }}) then
            raise exception 'the rule {{ rule.name }} is broken' using
                errcode = '23P01',
                schema = '{{ contract.schema }}',
                table = '{{ contract.alias }}',
                constraint = '{{ contract.alias }}__{{ rule.name }}';
        end if;
        return null;
    end
{%- endmacro %}

{#- The models that are connected with one by rules, in order. All their rules have one turn:
    whoever holds one of several turns and waits for another could wait for ever. -#}
{% macro neighbours(contract) -%}
    {%- set ns = namespace(names=[contract.name]) -%}
    {%- for step in curated_models() -%}
        {%- for other in curated_models() -%}
            {%- for rule in contract_rules(other) if rule.kind == 'query' -%}
                {%- set names = [other.name] + rule.over -%}
                {%- if names | select('in', ns.names) | list -%}
                    {%- set ns.names = (ns.names + names) | unique | list -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(ns.names | sort) }}
{%- endmacro %}

{#- The ends that show the rows of a model as links: {table: {key, columns}}. -#}
{% macro linked_by(contract) -%}
    {%- set ends = {} -%}
    {%- for end in curated_models() -%}
        {%- for link in end.config.meta.get('links', []) if link.through == contract.name -%}
            {%- do ends.setdefault(table_of(end), {'key': key_of(end)[0], 'columns': []})
                .columns.append(link.from) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(ends) }}
{%- endmacro %}

{% macro touch_of(contract) -%}
    begin
        {%- for table, end in linked_by(contract).items() %}
        update {{ table }} set _transaction_id = pg_current_xact_id()
        where
            {{ end.key }} in (
                {%- for column in end.columns %}
                old.{{ column }}, new.{{ column }}{{ "," if not loop.last }}
                {%- endfor %}
            )
            and _transaction_id <> pg_current_xact_id();
        {%- endfor %}
        return null;
    end
{%- endmacro %}
