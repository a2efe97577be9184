{#- What every staging model says of each of its rows, beside the columns.

    `provenance()` goes into the first select, over the source table. -#}

{#- Where the row came from, and the hash of what the source said. The hash is
    taken over the raw text, so a change of the staging SQL does not look like a
    change of the source; absent values are left out and present ones carry
    their column's name, so a new column of the source changes no old hash; the
    lengths tell where a value ends, whatever is in it. A function takes at most
    100 arguments, and an array, which is slower, any number: the text is the same. -#}
{% macro provenance() -%}
    {%- set is_wide = source_columns() | length > 90 -%}
    _load_id,
    _row_number,
    _malformed,
    md5(concat_ws(
        chr(31), {{ 'variadic array[' if is_wide }}''
        {%- for column in source_columns() | sort %},
        '{{ column }}=' || octet_length({{ adapter.quote(column) }})
        || ':' || {{ adapter.quote(column) }}
        {%- endfor %}
    {{ ']' if is_wide }}))::uuid as _hash
{%- endmacro %}

{#- The columns of the one source table that the current model reads; none while
    dbt parses or runs a unit test, where it shows no graph. -#}
{% macro source_columns() -%}
    {%- set columns = [] -%}
    {%- if execute and graph.sources is defined -%}
        {%- for source in graph.sources.values() if source.unique_id in model.depends_on.nodes -%}
            {%- do columns.extend(source.columns.keys()) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(columns) }}
{%- endmacro %}

{#- What the source table that the current model reads says in its `config.meta.load`. -#}
{% macro source_declares(option) -%}
    {%- if execute and graph.sources is defined -%}
        {%- for source in graph.sources.values() if source.unique_id in model.depends_on.nodes -%}
            {{ return(source.config.meta.load.get(option)) }}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}

{#- Columns that were given but could not be read: {column: text given}. -#}
{% macro problems(columns) -%}
    array_remove(array[
        {%- for column, given in columns.items() %}
        case when {{ column }} is null and {{ given }} is not null then '{{ column }}' end
        {{- "," if not loop.last }}
        {%- endfor %}
    ]::text[], null)
{%- endmacro %}

{#- What was changed, for people to read: {column: text given}, or {column: [text given,
    text kept]} where the column has another form than the text that is kept, or {column:
    [text given, text kept, text that is a problem where the column is null]}. -#}
{% macro repairs(columns) -%}
    array_remove(array[
        {%- for column, texts in columns.items() %}
        {%- set texts = [texts, column] if texts is string else texts %}
        {%- set given, kept = texts[0], texts[1] %}
        {#- In this order, because PostgreSQL computes the column anew at each use. #}
        case
            when
                case
                    when {{ given }} is null then {{ kept }} is not null
                    else {{ given }} <> {{ kept }}::text
                end
                {%- if texts | length > 2 %}
                and ({{ column }} is not null or {{ texts[2] }} is null)
                {%- endif %}
                then '{{ column }}: ' || coalesce({{ given }}, 'blank') || ' -> ' || {{ kept }}
        end
        {{- "," if not loop.last }}
        {%- endfor %}
    ]::text[], null)
{%- endmacro %}

{#- What a value that is not taken may have been, for people to choose:
    {column: [text given, text proposed]}. A rejected row shows it. -#}
{% macro proposals(columns) -%}
    array_remove(array[
        {%- for column, (given, proposed) in columns.items() %}
        case
            when length({{ given }}) <= 200
                then '{{ column }}: ' || {{ given }} || ' -> ' || nullif({{ proposed }}, {{ given }})
        end
        {{- "," if not loop.last }}
        {%- endfor %}
    ]::text[], null)
{%- endmacro %}

{#- The default that a column's contract states, for staging to use as the API
    does. Unit tests, which have no graph, override it. -#}
{% macro default_of(model_name, column) -%}
    {%- if execute -%}
        {%- set stated = contract_of(model_name).columns[column] -%}
        ({{ stated.config.meta.default }})::{{ stated.data_type }}
    {%- else -%}
        null
    {%- endif -%}
{%- endmacro %}

{#- The whole model of an entity that is born in the API: its rows stand in the journal. -#}
{% macro no_source() -%}
    select
        {%- if execute %}
        {%- for name, column in contract_of(model.name).columns.items() %}
        null::{{ column.data_type }} as {{ name }},
        {%- endfor %}
        {%- endif %}
        null::bigint as _load_id,
        null::bigint as _row_number,
        null::text as _malformed,
        null::uuid as _hash,
        '{}'::text[] as _problems
    where false
{%- endmacro %}
