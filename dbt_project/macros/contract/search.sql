{#- The words of a row in the columns of `config.meta.search`. The API writes the same
    expression (api/listing.py), so that its searches use the index. -#}
{% macro search_document(contract) -%}
    to_tsvector('simple'::regconfig,
    {%- for column in contract.config.meta.search %} coalesce({{ column }}, '')
        {%- if not loop.last %} || ' ' ||{% endif %}
    {%- endfor -%}
    )
{%- endmacro %}

{#- Makes the index of words what the contract says. -#}
{% macro define_search_index(contract, relation) -%}
    {%- set name = contract.alias ~ '__search' -%}
    {%- set index = relation.schema ~ '.' ~ name -%}
    {%- set wanted = local_md5(search_document(contract)) if contract.config.meta.search else '' -%}
    {%- set found = query(
        "select coalesce(obj_description(to_regclass('" ~ index ~ "'), 'pg_class'), '')"
    )[0][0] -%}
    {%- if found != wanted -%}
        {%- do execute_sql('drop index if exists ' ~ index) -%}
        {%- do execute_sql(
            'create index ' ~ name ~ ' on ' ~ relation ~ ' using gin (('
            ~ search_document(contract) ~ "));
            comment on index " ~ index ~ " is '" ~ wanted ~ "'"
        ) if wanted -%}
    {%- endif -%}
{%- endmacro %}
