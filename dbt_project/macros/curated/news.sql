{#- What a source says, and what of it is news: the ledger. **A row is news if it says of any
    column something else than what its source last said of that one**, of the columns that
    its file had headers for; both are read by today's staging. -#}

{#- What a load had no headers for: `absent` of the source's columns, as an array; `silences` as
    `silences_of` has it, of this load only. -#}
{% macro hear(contract, load) -%}
    {%- set heard = query("
        select absent_columns::text, array_to_string(" ~ unsaid_sql(contract) ~ ", ' ')
        from raw.loads where load_id = " ~ load.load_id
    )[0] -%}
    {%- set silences = {} -%}
    {%- for name in heard[1].split() -%}
        {%- do silences.update({name: 'true'}) -%}
    {%- endfor -%}
    {%- do load.update({'absent': "'" ~ heard[0] ~ "'::text[]", 'silences': silences}) -%}
{%- endmacro %}

{#- Rows that say in other words what their source said last, as today's staging reads both.
    The ledger remembers the words; how many there are. -#}
{% macro drop_repetitions(contract, staged, load) -%}
    {%- set key = key_of(contract)[0] -%}
    {%- set silences = silences_of(contract) -%}
    {%- set telling = telling_columns(contract) | reject('in', load.silences) | list -%}
    {%- do execute_sql('drop table if exists places, spoken') -%}
    {%- do execute_sql("
        create temporary table places on commit drop as
        select " ~ key ~ " as key, _last_load_id as load_id, _last_row_number as row_number
        from " ~ staged ~ " where _last_load_id is not null
    ") -%}
    {%- do add_earlier_places(contract, load) if silences -%}
    {%- do execute_sql('analyze places') -%}
    {%- do execute_sql("
        create temporary table spoken on commit drop as
        select
            places.key as _key, accounts.clock as _clock, " ~ unsaid_sql(contract) ~ " as _unsaid,
            " ~ said_columns(contract, silences) ~ "
        from places
        inner join raw.loads on loads.load_id = places.load_id
        inner join journal.accounts
            on accounts.load_id = places.load_id and accounts.entity = '" ~ contract.name ~ "'
        " ~ join_rows_at(contract, 'places')
    ) -%}
    {#- what was never said before is news, whatever it is -#}
    {%- set words, heard = ['_key'], [] -%}
    {%- for name in telling -%}
        {%- if name in silences -%}
            {%- do words.append(last_said(contract, name, 'past') ~ ' as ' ~ name) -%}
            {%- do words.append("count(*) filter (where not '" ~ name ~ "' = any(_unsaid)) over past > 0"
                ~ ' as _heard_' ~ name) -%}
            {%- do heard.append(' and last._heard_' ~ name) -%}
        {%- else -%}
            {%- do words.append(name) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set last = 'spoken' if not silences else '(
        select distinct on (_key) ' ~ words | join(', ') ~ '
        from spoken
        window past as (partition by _key order by _clock)
        order by _key, _clock desc
    )' -%}
    {{ return(execute_sql("
        with same as (
            delete from " ~ staged ~ " as staged using " ~ last ~ " as last
            where
                staged." ~ key ~ " = last._key
                and (staged." ~ telling | join(', staged.') ~ ")
                is not distinct from (last." ~ telling | join(', last.') ~ ")
                " ~ heard | join ~ "
            returning staged." ~ key ~ " as key, staged._hash
        )
        update " ~ ledger_of(contract) ~ " as ledger set hash = same._hash
        from same
        where ledger.key = same.key and ledger.is_last
    ")) }}
{%- endmacro %}

{#- Where the last row of a key lacked columns, what the source said of these stands in earlier
    ones, back to the edit with which it was forgotten. -#}
{% macro add_earlier_places(contract, load) -%}
    {%- do execute_sql("
        insert into places
        select ledger.key, ledger.load_id, ledger.row_number
        from places
        inner join raw.loads on loads.load_id = places.load_id and loads.absent_columns <> '{}'
        inner join " ~ ledger_of(contract) ~ " as ledger
            on ledger.key = places.key and ledger.load_id <> places.load_id
        inner join journal.accounts
            on accounts.load_id = ledger.load_id and accounts.entity = '" ~ contract.name ~ "'
        where
            not exists (
                select from journal.edits
                where
                    edits.entity = '" ~ contract.name ~ "'
                    and edits.key = ledger.key::text
                    and edits.resets_ledger
                    and edits.clock > accounts.clock
                    " ~ (" and edits.clock <= " ~ load.taken_at ~ " and edits.cause is distinct from 'rejudge'"
                        if contract.is_rehearsed) ~ "
            )
    ") -%}
{%- endmacro %}

{#- The columns by which rows say the same: not what was done to the text. -#}
{% macro telling_columns(contract) -%}
    {{ return(content_columns(contract) | reject('equalto', 'repairs') | list) }}
{%- endmacro %}

{#- Computes the ledger as it follows from raw rows, verdicts and journal. What counts as news is
    decided in the order in which loads were taken; a load that the entity has not taken says
    nothing yet. **A row is news if it says of any column something else than what the
    source last said of it**, as today's staging reads both; a row of equal text is none, and is not read. -#}
{% macro compute_ledger(contract, ledger) -%}
    {%- set said = 'staging.' ~ contract.name ~ '__said' -%}
    {%- do execute_sql('create unlogged table ' ~ said ~ ' as ' ~ said_sql(contract)) -%}
    {%- do execute_sql("
        create temporary table places on commit drop as
        select key, clock, era, load_id, row_number from " ~ said ~ "
        where
            load_id is not null
            and key in (select key from " ~ said ~ " where hash <> last_hash)
    ") -%}
    {%- do execute_sql('analyze places') -%}
    {%- do execute_sql(
        'create temporary table repetitions on commit drop as ' ~ repetitions_sql(contract)
    ) -%}
    {%- do execute_sql('create unlogged table ' ~ ledger ~ ' as ' ~ news_sql(said)) -%}
    {%- do execute_sql('drop table ' ~ said ~ ', places, repetitions') -%}
{%- endmacro %}

{#- All accepted rows, and the edits with which what was said before is forgotten: an era ends. -#}
{% macro said_sql(contract) -%}
    {%- set key = key_of(contract)[0] -%}
    with

    accepted as (

        select distinct on (model.{{ key }}, model._load_id)
            model.{{ key }} as key,
            accounts.clock,
            model._load_id as load_id,
            model._row_number as row_number,
            {{ hash_of_said('model._hash', 'loads.absent_columns') }} as hash
        from {{ rows_of(contract) }} as model
        inner join journal.accounts
            on accounts.load_id = model._load_id and accounts.entity = '{{ contract.name }}'
        inner join raw.loads on loads.load_id = model._load_id
        where
            not exists (
                select from journal.verdicts
                where
                    verdicts.entity = '{{ contract.name }}'
                    and verdicts.load_id = model._load_id
                    and verdicts.row_number = model._row_number
            )
        order by model.{{ key }}, model._load_id, hash, model._row_number

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

    )

    select
        *,
        lag(hash) over past as last_hash,
        count(*) filter (where load_id is null) over past as era
    from (table accepted union all table forgotten) as either
    window past as (partition by key order by clock, load_id)
{%- endmacro %}

{#- Of the rows of `places`: those that say nothing new. -#}
{% macro repetitions_sql(contract) -%}
    {%- set silences = silences_of(contract) -%}
    {%- set always = telling_columns(contract) | reject('in', silences) | list -%}
    with spoken as (
        select
            places.key as _key,
            places.clock as _clock,
            places.era as _era,
            places.load_id as _load_id,
            {{ unsaid_sql(contract) }} as _unsaid,
            {{ said_columns(contract, silences) }}
        from places
        inner join raw.loads on loads.load_id = places.load_id
        {{ join_rows_at(contract, 'places') }}
    ),

    compared as (
        select
            _key,
            _load_id,
            row_number() over past = 1
            or row({{ always | join(', ') }})
            is distinct from lag(row({{ always | join(', ') }})) over past
            {%- for name in silences %}
            or (
                not '{{ name }}' = any(_unsaid)
                and (
                    {{ last_said(contract, name, 'earlier') }} is distinct from {{ name }}
                    or count(*) filter (where not '{{ name }}' = any(_unsaid)) over earlier = 0
                )
            )
            {%- endfor %} as _is_news
        from spoken
        window
            past as (partition by _key, _era order by _clock, _load_id),
            earlier as (
                partition by _key, _era order by _clock, _load_id
                rows between unbounded preceding and 1 preceding
            )
    )

    select _key as key, _load_id as load_id from compared where not _is_news
{%- endmacro %}

{#- SQL: the last word of a window on a column. An array of arrays would be a matrix. -#}
{% macro last_said(contract, name, window, said=none) -%}
    {%- set type = contract.columns[name].data_type -%}
    {%- set said = said or "not '" ~ name ~ "' = any(_unsaid)" -%}
    (array_agg({{ name }}{{ '::text' if type.endswith(']') }}) filter (where {{ said }}) over {{ window }})
    [count(*) filter (where {{ said }}) over {{ window }}]{{ '::' ~ type if type.endswith(']') }}
{%- endmacro %}

{#- The news, each with the hash of the text in which it was said last. -#}
{% macro news_sql(said) -%}
    with

    told as (

        select
            *,
            count(*) filter (where load_id is null or is_news) over (
                partition by key order by clock, load_id
            ) as news
        from (
            select
                said.*,
                repetitions.key is null and said.hash is distinct from said.last_hash as is_news
            from {{ said }} as said
            left join repetitions using (key, load_id)
        ) as judged

    ),

    last as (

        select
            *,
            last_value(hash) over (
                partition by key, news order by clock, load_id
                rows between unbounded preceding and unbounded following
            ) as hash_of_last,
            news = max(news) over (partition by key) as is_last
        from told

    )

    select key, load_id, row_number, hash_of_last as hash, is_last
    from last
    where is_news and load_id is not null
{%- endmacro %}

{#- SQL: what a row is known by: the hash of its text and, where its file lacked columns,
    which: a blank says something, no header says nothing. -#}
{% macro hash_of_said(hash, absent) -%}
    case
        when {{ absent }} = '{}' then {{ hash }}
        else md5({{ hash }} || ' ' || {{ absent }}::text)::uuid
    end
{%- endmacro %}
