{#- What a constraint cannot hold PostgreSQL holds by triggers: rules over several rows
    or tables, and that a row has another version when its links have. -#}

{#- Makes the triggers of a contract what it says. Their functions are named
    `<table>__<rule>`, and commented with the model and a fingerprint. -#}
{% macro define_triggers(contract, relation) -%}
    {%- set wanted = wanted_triggers(contract) -%}
    {%- set found = {} -%}
    {#- with the tables: one that was made anew has lost its triggers -#}
    {%- for name, comment in query("
        select
            proname,
            obj_description(pg_proc.oid, 'pg_proc') || ' ' || coalesce((
                select string_agg(
                    distinct tgrelid::regclass::text, ' ' order by tgrelid::regclass::text
                )
                from pg_catalog.pg_trigger
                where tgfoid = pg_proc.oid and tgenabled = 'O'
            ), '')
        from pg_catalog.pg_proc
        where
            pronamespace = '" ~ contract.schema ~ "'::regnamespace
            and starts_with(obj_description(pg_proc.oid, 'pg_proc'), '" ~ contract.name ~ " ')
    ") -%}
        {%- do found.update({name: comment}) -%}
    {%- endfor -%}
    {%- for name in found if name not in wanted -%}
        {%- do execute_sql('drop function ' ~ contract.schema ~ '.' ~ name ~ ' cascade') -%}
        {{ log(contract.alias ~ ': dropped trigger ' ~ name, info=true) }}
    {%- endfor -%}
    {%- for name, trigger in wanted.items() -%}
        {%- set comment = contract.name ~ ' ' ~ local_md5(trigger | string) -%}
        {%- if found.get(name) != comment ~ ' ' ~ trigger.tables | sort | join(' ') -%}
            {%- do define_trigger(contract.schema ~ '.' ~ name, name, trigger, comment) -%}
            {%- do refuse_breaking_rows(contract, trigger.rule, relation) if trigger.rule -%}
            {{ log(contract.alias ~ ': added trigger ' ~ name, info=true) if found }}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{#- {name: {body, level, tables: {table: {event: what is referenced}}, rule}}. -#}
{% macro wanted_triggers(contract) -%}
    {%- set wanted = {} -%}
    {%- for rule in contract_rules(contract) if rule.kind == 'query' and rule.severity == 'error' -%}
        {%- set tables = {} -%}
        {%- for name in [contract.name] + rule.over -%}
            {%- set read = contract_of(name) -%}
            {%- do tables.update({table_of(read): any_event(read)}) -%}
        {%- endfor -%}
        {%- do wanted.update({constraint_name(contract, rule): {
            'body': refusal_of(
                contract, rule, 'exists (' ~ query_of(contract, rule, table_of(contract)) ~ ')'
            ),
            'tables': tables, 'level': 'statement', 'rule': rule,
        }}) -%}
    {%- endfor -%}
    {%- for rule in links_of(contract) -%}
        {#- a table of what was written is for one event alone -#}
        {%- set written = ' referencing new table as written' -%}
        {%- do wanted.update({constraint_name(contract, rule): {
            'body': refusal_of(contract, rule, is_link_broken(contract, rule)),
            'tables': {table_of(contract): {'insert': written, 'update': written}},
            'level': 'statement', 'rule': rule,
        }}) -%}
    {%- endfor -%}
    {%- if linked_by(contract) -%}
        {#- no rule has such a name -#}
        {%- do wanted.update({contract.alias ~ '____touch': {
            'body': touch_of(contract),
            'tables': {table_of(contract): any_event(contract)},
            'level': 'row',
        }}) -%}
    {%- endif -%}
    {{ return(wanted) }}
{%- endmacro %}

{#- Not for the version of a row, which links change. -#}
{% macro any_event(contract) -%}
    {{ return({'insert or delete or update of ' ~ contract.columns | join(', '): ''}) }}
{%- endmacro %}

{#- SQL: whether rows that were `written` say of a determinant another value than some row does. -#}
{% macro is_link_broken(contract, rule) -%}
    {%- for column in rule.dependent %}
    {{ "or " if not loop.first }}exists (
        select from (
            select distinct {{ rule.determinant | join(', ') }}, {{ column }}
            from written where {{ column }} is not null
        ) as said
        where exists ({{ other_values(contract, rule, column, table_of(contract), 'said') }})
    )
    {%- endfor %}
{%- endmacro %}

{% macro define_trigger(function, name, trigger, comment) -%}
    {%- do execute_sql('drop function if exists ' ~ function ~ ' cascade') -%}
    {%- do execute_sql(
        'create function ' ~ function ~ '() returns trigger language plpgsql as $trigger$'
        ~ '\n#variable_conflict use_column\n' ~ trigger.body ~ ' $trigger$; comment on function '
        ~ function ~ " is '" ~ comment ~ "'"
    ) -%}
    {%- for table, events in trigger.tables.items() -%}
        {%- for event, referenced in events.items() -%}
            {%- do execute_sql(
                'create trigger ' ~ (name if loop.first else event ~ '_' ~ local_md5(name))
                ~ ' after ' ~ event ~ ' on ' ~ table ~ referenced
                ~ ' for each ' ~ trigger.level ~ ' execute function ' ~ function ~ '()'
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}

{#- Refuses a statement that breaks a rule over several rows. Two writers could break it
    together where neither sees what the other writes: so they take turns, from the end of
    the statement to that of the transaction, and the query sees all before it. One snapshot for
    a whole transaction would not show it. -#}
{% macro refusal_of(contract, rule, is_broken) -%}
    begin
        if current_setting('transaction_isolation') = 'repeatable read' then
            raise exception 'the rule {{ rule.name }} cannot be judged under repeatable read'
            using errcode = 'feature_not_supported';
        end if;
        perform pg_advisory_xact_lock(hashtextextended('rules of {{ neighbours(contract) | first }}', 0));
        if {{ is_broken }} then
            raise exception 'the rule {{ rule.name }} is broken' using
                errcode = '23P01',
                schema = '{{ contract.schema }}',
                table = '{{ contract.alias }}',
                constraint = '{{ constraint_name(contract, rule) }}';
        end if;
        return null;
    end
{%- endmacro %}

{#- A model and those that are connected with it by rules, in order. All their rules have one
    turn: whoever holds one of several turns and waits for another could wait for ever. -#}
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
