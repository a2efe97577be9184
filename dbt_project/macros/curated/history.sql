{#- What history says of an entity. **The state of a key is its last event in clock
    order: an accepted row that differs from the accepted row before it, or an
    edit.** -#}

{#- The model's rows, as a view: whoever needs a row as staging reads it finds it there. -#}
{% macro rows_of(contract) -%}
    staging.{{ contract.name }}__rows
{%- endmacro %}

{#- SQL, over `raw.loads`: the columns that a load says nothing of, since it had no header for
    them. -#}
{% macro unsaid_sql(contract) -%}
    {%- set silences = silences_of(contract) -%}
    {%- if silences -%}
    array_remove(array[
        {%- for column, condition in silences.items() %}
        case when {{ condition }} then '{{ column }}' end{{ "," if not loop.last }}
        {%- endfor %}
    ], null)
    {%- else -%}
    '{}'::text[]
    {%- endif -%}
{%- endmacro %}

{#- SQL: the content of a staged row, `model`, of which the file had no header for the columns
    that `silences` names, each with a condition. Nothing is noted of these either. -#}
{% macro said_columns(contract, silences, is_cast=false) -%}
    {%- for name in content_columns(contract) %}
    {%- set value = 'model.' ~ name ~ ('::' ~ contract.columns[name].data_type if is_cast else '') %}
    {%- if name in silences %}
    case when not {{ silences[name] }} then {{ value }} end as {{ name }}
    {%- elif name == 'repairs' and silences %}
    array(
        select note
        from unnest(model.repairs) as note
        where
            {%- for column, condition in silences.items() %}
            {{ "and " if not loop.first }}not ({{ condition }} and starts_with(note, '{{ column }}: '))
            {%- endfor %}
    ) as repairs
    {%- else %}
    {{ value }} as {{ name }}
    {%- endif %}
    {{- "," if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{#- SQL: {column: what it has in a new row}, where `unsaid` of the row names it: the
    contract's default, which is noted. The other columns are the row's. -#}
{% macro defaults_of_new(contract, columns, unsaid) -%}
    {%- set found, notes = {}, [] -%}
    {%- for name in columns -%}
        {%- set column = contract.columns[name] -%}
        {%- set default = column.config.meta.default -%}
        {%- if default -%}
            {%- set default = '(' ~ default ~ ')::' ~ column.data_type -%}
            {%- set is_unsaid = "'" ~ name ~ "' = any(" ~ unsaid ~ ')' -%}
            {%- do found.update({
                name: 'case when ' ~ is_unsaid ~ ' then ' ~ default ~ ' else ' ~ name ~ ' end'
            }) -%}
            {%- do notes.append(
                'case when ' ~ is_unsaid ~ " then '" ~ name ~ ": blank -> ' || " ~ default ~ ' end'
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if notes and 'repairs' in contract.columns -%}
        {%- do found.update({
            'repairs': 'repairs || array_remove(array[' ~ notes | join(', ') ~ '], null)'
        }) -%}
    {%- endif -%}
    {{ return(found) }}
{%- endmacro %}

{#- What joins `places` (load_id, row_number) with the rows of the model there, as `model`.
    With `by_index` each raw row is looked up by its number: for few, since the planner
    would rather stage the whole source (of 400,000 rows: 4,200 ms instead of 1). -#}
{% macro join_rows(contract, places, columns, by_index=false, condition='true') -%}
    {%- if by_index %}
    cross join lateral (
        select {{ columns | join(', ') }}
        from {{ rows_of(contract) }}
        where _load_id = {{ places }}.load_id and _row_number = {{ places }}.row_number
        offset 0
    ) as model
    {%- else %}
    inner join {{ rows_of(contract) }} as model
        on
            model._load_id = {{ places }}.load_id
            and model._row_number = {{ places }}.row_number
            and {{ condition }}
    {%- endif %}
{%- endmacro %}

{#- The same for places in a table: by their number where they are few among the rows of their
    loads, else from these loads only, which are literals (architecture.md). -#}
{% macro join_rows_at(contract, places) -%}
    {%- set found = query("
        select
            string_agg(load_id::text, ', '),
            sum(places) * 50 < sum(row_count)
        from (select load_id, count(*) as places from " ~ places ~ " group by load_id) as wanted
        inner join raw.loads using (load_id)
    ")[0] -%}
    {{ return(join_rows(
        contract, 'places', content_columns(contract), found[1],
        'model._load_id in (' ~ (found[0] or 'null') ~ ')'
    )) }}
{%- endmacro %}

{#- Every version of every key: what each event left of its row. Engine columns
    begin with `_`. `wanted`, a select of keys, limits it to those; `by_index` is for one. -#}
{% macro versions_sql(contract, ledger, wanted=none, by_index=false) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set key_type = contract.columns[key].data_type -%}
    {%- set content = content_columns(contract) -%}
    {%- set dependent = dependent_columns(contract) -%}
    {%- set silences = silences_of(contract) -%}
    {%- set defaults = defaults_of_new(contract, silences, '_unsaid') -%}
    {%- set determinants = determinants_of(contract) -%}
    with

    loaded as (

        select
            ledger.key as _key,
            loads.clock as _clock,
            null::text as _cause,
            false as _is_edit,
            false as _is_deletion,
            {{ unsaid_sql(contract) }} as _unsaid,
            loads.finished_at as updated_at,
            {#- as the contract has it, until a build has made table and function what staging is #}
            'load ' || ledger.load_id || ' row ' || ledger.row_number as updated_by,
            {{ said_columns(contract, silences, is_cast=true) }}
        from {{ ledger }} as ledger
        inner join raw.loads on loads.load_id = ledger.load_id
        inner join journal.accounts
            on accounts.load_id = ledger.load_id and accounts.entity = '{{ contract.name }}'
        {{ join_rows(contract, 'ledger', content, by_index) }}
        where
            {%- if wanted %}
            ledger.key in ({{ wanted }}) and
            {%- endif %}
            {#- a row that was superseded never became the state #}
            not exists (
                select from journal.edits
                where
                    edits.entity = '{{ contract.name }}'
                    and edits.key = ledger.key::text
                    and edits.clock > loads.clock
                    and edits.clock <= accounts.clock
            )

    ),

    edited as (

        select
            edits.key::{{ key_type }} as _key,
            edits.clock as _clock,
            edits.cause as _cause,
            true as _is_edit,
            edits.operation = 'delete' as _is_deletion,
            '{}'::text[] as _unsaid,
            edits.edited_at as updated_at,
            edits.edited_by as updated_by,
            image.{{ content | join(', image.') }}
        from journal.edits
        cross join lateral ({{ image_as_row(contract, 'edits.after') }}) as image
        where
            edits.entity = '{{ contract.name }}'
            {%- if wanted %}
            and edits.key in (select wanted.key::text from ({{ wanted }}) as wanted (key))
            {%- endif %}

    ),

    eras as (

        select
            *,
            count(*) filter (where _is_edit) over past as _era,
            lag(_is_deletion, 1, true) over past as _is_new
        from (table loaded union all table edited) as events
        window past as (partition by _key order by _clock)

    ),

    told as (

        select
            _key, _clock, _cause, _is_deletion, _era, updated_at, updated_by,
            case when _is_new then '{}' else _unsaid end as _unsaid,
            {%- for name in content %}
            {%- if name in defaults %}
            case when _is_new then {{ defaults[name] }} else {{ name }} end as {{ name }}
            {%- else %}
            {{ name }}
            {%- endif %}
            {{- "," if not loop.last }}
            {%- endfor %}
        from eras

    ),

    {% if determinants -%}
    determined as (

        select
            *
            {%- for name in determinants.values() | sum(start=[]) | unique %},
            {{ last_said(contract, name, 'past') if name in silences else name }} as _of_{{ name }}
            {%- endfor %}
        from told
        window past as (partition by _key, _era order by _clock)

    ),

    {# where the determinant stays a null does not erase what is known of it -#}
    linked as (

        select
            *
            {%- for name, others in determinants.items() %},
            {{ name }} is not null
            or row_number() over past = 1
            or (
                not '{{ name }}' = any(_unsaid)
                and row(_of_{{ others | join(', _of_') }})
                is distinct from lag(row(_of_{{ others | join(', _of_') }})) over past
            ) as _sets_{{ name }}
            {%- endfor %}
        from determined
        window past as (partition by _key, _era order by _clock)

    ),

    {% endif -%}
    versions as (

        select
            {%- for name in content %}
            {%- if name in determinants %}
            {{ last_said(contract, name, 'past', '_sets_' ~ name) }} as {{ name }},
            {%- elif name in dependent %}
            {#- a null in a later load does not erase what is known #}
            coalesce({{ name }}, {{ last_said(contract, name, 'past', name ~ ' is not null') }})
                as {{ name }},
            {%- elif name in silences %}
            {#- nor what a load had no header for #}
            {{ last_said(contract, name, 'past') }} as {{ name }},
            {%- else %}
            {{ name }},
            {%- endif %}
            {%- endfor %}
            updated_at,
            updated_by,
            _key,
            _clock,
            _cause,
            _is_deletion
        from {{ 'linked' if determinants else 'told' }}
        window past as (partition by _key, _era order by _clock)

    )
{%- endmacro %}

{#- A row of the contract from its image in the journal. A column that is younger
    than the image has the contract's default; one whose type was another then, and whose value
    cannot be read under today's, has none. -#}
{% macro image_as_row(contract, image) -%}
    {%- set retyped = retyped_columns(contract) -%}
    select
        {%- for name in content_columns(contract) %}
        {%- set default = contract.columns[name].config.meta.default %}
        {%- if default %}
        case
            when {{ image }} ? '{{ name }}' then {{ name }}
            when {{ image }} is not null
                then ({{ default }})::{{ contract.columns[name].data_type }}
        end as {{ name }}
        {%- else %}
        {{ name }}
        {%- endif %}
        {{- "," if not loop.last }}
        {%- endfor %}
    from jsonb_to_record(coalesce({{ image }}, '{}')
        {%- for name in retyped %}
        - case
            when not pg_input_is_valid({{ image }} ->> '{{ name }}', '{{ contract.columns[name].data_type }}')
                then '{{ name }}' else ''
        end
        {%- endfor -%}
    ) as image (
        {%- for name in content_columns(contract) %}
        {{ name }} {{ contract.columns[name].data_type }}{{ "," if not loop.last }}
        {%- endfor %}
    )
{%- endmacro %}

{% macro changes_of(contract) -%}
    staging.{{ contract.name }}__changes
{%- endmacro %}

{#- What the API asks of history: the versions of one key, by its text; and which keys
    were written or deleted by which transaction, for the feed of changes. -#}
{% macro define_versions(contract) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set wanted = 'select $1::' ~ contract.columns[key].data_type -%}
    {%- do execute_sql("
        create or replace function staging." ~ contract.name ~ "__versions (text)
        returns table (
            version bigint, updated_at timestamptz, updated_by text, cause text, image jsonb
        )
        language sql stable
        as $versions$
        " ~ versions_sql(contract, ledger_of(contract), wanted, by_index=true) ~ "

        select
            _clock, updated_at, updated_by, _cause,
            case when not _is_deletion then (
                select to_jsonb(image)
                from (select versions." ~ contract.columns.keys() | join(', versions.') ~ ") as image
            ) end
        from versions
        $versions$
    ") -%}
    {%- do define_view(changes_of(contract), "
        select _transaction_id as transaction_id, " ~ key ~ "::text as key
        from " ~ contract.schema ~ "." ~ contract.alias ~ "

        union all

        select gone.transaction_id, gone.key
        from (
            select transaction_id, key from journal.edits
            where entity = '" ~ contract.name ~ "' and operation = 'delete'
            union all
            select transaction_id, key from journal.vanished
            where entity = '" ~ contract.name ~ "'
        ) as gone
        where not exists (
            select from " ~ contract.schema ~ "." ~ contract.alias ~ " as curated
            where curated." ~ key ~ " = gone.key::" ~ contract.columns[key].data_type ~ "
        )
    ") -%}
{%- endmacro %}
