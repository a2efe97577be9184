{#- What history says of an entity. **The state of a key is its last event in clock
    order: an accepted row that differs from the accepted row before it, or an
    edit.** -#}

{#- The model's rows, as a view: whoever needs a row as staging reads it finds it there. -#}
{% macro rows_of(contract) -%}
    staging.{{ contract.name }}__rows
{%- endmacro %}

{#- The ledger as it follows from raw rows, verdicts and journal. What counts as
    news is decided in the order in which loads were taken; a load that the
    entity has not taken says nothing yet. -#}
{% macro ledger_sql(contract) -%}
    {%- set key = key_of(contract)[0] -%}
    with

    accepted as (

        select distinct on (model.{{ key }}, model._load_id)
            model.{{ key }} as key,
            accounts.clock,
            model._load_id as load_id,
            model._row_number as row_number,
            model._hash as hash
        from {{ rows_of(contract) }} as model
        inner join journal.accounts
            on accounts.load_id = model._load_id and accounts.entity = '{{ contract.name }}'
        where
            not exists (
                select from journal.verdicts
                where
                    verdicts.entity = '{{ contract.name }}'
                    and verdicts.load_id = model._load_id
                    and verdicts.row_number = model._row_number
            )
        order by model.{{ key }}, model._load_id, model._hash, model._row_number

    ),

    forgotten as (

        select
            key::{{ contract.columns[key].data_type }} as key,
            clock,
            null::bigint as load_id,
            null::bigint as row_number,
            null::uuid as hash
        from journal.edits
        where entity = '{{ contract.name }}' and resets_ledger

    ),

    said as (

        select
            *,
            lag(hash) over (partition by key order by clock, load_id) as last_hash
        from (table accepted union all table forgotten) as either

    ),

    news as (

        select
            *,
            lead(clock) over (partition by key order by clock, load_id) is null as is_last
        from said
        where load_id is null or hash is distinct from last_hash

    )

    select key, load_id, row_number, hash, is_last
    from news
    where load_id is not null
{%- endmacro %}

{#- Every version of every key: what each event left of its row. Engine columns
    begin with `_`. `wanted`, a select of keys, limits it to those. With `by_index` each
    raw row is looked up by its number: for one key, since the planner would rather
    stage the whole source (of 400,000 rows: 4,200 ms instead of 1). -#}
{% macro versions_sql(contract, ledger, wanted=none, by_index=false) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set key_type = contract.columns[key].data_type -%}
    {%- set content = content_columns(contract) -%}
    {%- set dependent = dependent_columns(contract) -%}
    with

    loaded as (

        select
            ledger.key as _key,
            loads.clock as _clock,
            null::text as _cause,
            false as _is_edit,
            false as _is_deletion,
            loads.finished_at as updated_at,
            'load ' || ledger.load_id || ' row ' || ledger.row_number as updated_by
            {#- as the contract has it, until a build has made table and function what staging is #}
            {%- for name in content %},
            model.{{ name }}::{{ contract.columns[name].data_type }} as {{ name }}
            {%- endfor %}
        from {{ ledger }} as ledger
        inner join raw.loads on loads.load_id = ledger.load_id
        inner join journal.accounts
            on accounts.load_id = ledger.load_id and accounts.entity = '{{ contract.name }}'
        {%- if by_index %}
        cross join lateral (
            select {{ content | join(', ') }}
            from {{ rows_of(contract) }}
            where _load_id = ledger.load_id and _row_number = ledger.row_number
            offset 0
        ) as model
        {%- else %}
        inner join {{ rows_of(contract) }} as model
            on model._load_id = ledger.load_id and model._row_number = ledger.row_number
        {%- endif %}
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
            count(*) filter (where _is_edit) over (partition by _key order by _clock) as _era
        from (table loaded union all table edited) as events

    ),

    versions as (

        select
            {%- for name in content %}
            {%- if name in dependent %}
            {#- a null in a later load does not erase what is known #}
            coalesce({{ name }}, (
                array_agg({{ name }}) filter (where {{ name }} is not null) over past
            )[count({{ name }}) over past]) as {{ name }},
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
        from eras
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
