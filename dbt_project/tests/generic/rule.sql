{#- A rule of the model's contract, by the test's own name; the text of the rule
    stands only in the contract. While PostgreSQL itself enforces the rule no row can break it,
    and the table need not be read. -#}
{% test rule(model) %}
    {%- if execute -%}
        {%- set name = this.identifier -%}
        {%- set contract = contract_of(model.identifier) -%}
        {%- set rule = contract_rules(contract) | selectattr('name', 'equalto', name) | first -%}
        {%- if not rule -%}
            {{ exceptions.raise_compiler_error(
                model.identifier ~ "'s contract has no rule named " ~ name ~ "."
            ) }}
        {%- endif -%}
        {%- set constraint = constraint_of(contract, rule) -%}
    select * from (
        {{ rows_breaking(contract, rule, model) }}
    ) as breaking
        {%- if constraint %}
    where not {{ is_enforced(constraint, model) }}
        {%- endif -%}
    {%- endif -%}
{% endtest %}
