-- depends_on: {{ function('is_standard_inchi') }}
with

source as (

    select * from {{ source('laboratory', 'metabolites') }}

),

-- A lateral query with an offset is computed once for each row, if by one
-- process. Without it PostgreSQL computes a text anew wherever a later step
-- names it, which takes five times as long.
cleaned as (

    select
        {{ provenance() }},
        given.*

    from source
    cross join lateral ( -- noqa: ST05
        select
            {{ clean_text('features') }} as feature_given,
            -- A name with a quote before it only looks like a formula.
            starts_with(ltrim(features), '=') as is_formula,
            {{ clean_text('identification_level') }} as level_given,
            {{ clean_text('id_inchi') }} as inchi_given,
            {{ clean_text('cas_number') }} as cas_given,
            {{ clean_text('method') }} as method_given,
            {{ clean_text('sample_data') }} as value_given
        from (values (1)) as once (row_read)
        offset 0 -- noqa: AM09
    ) as given

),

unwrapped as (

    select
        cleaned.*,
        texts.*

    from cleaned
    cross join lateral ( -- noqa: ST05
        select
            {{ unwrapped('feature_given') }} as feature_text,
            {{ unquoted(unwrapped('level_given')) }} as level_text,
            {{ unquoted(unwrapped('inchi_given')) }} as inchi_text,
            {{ unwrapped('cas_given') }} as cas_text,
            {{ unwrapped('method_given') }} as method_text,
            {{ plain_minus(unquoted(unwrapped('value_given'))) }} as value_text
        from (values (1)) as once (row_read)
        offset 0 -- noqa: AM09
    ) as texts

),

renamed as (

    select
        unwrapped.*,
        typed.*

    from unwrapped
    cross join lateral ( -- noqa: ST05
        select
            ---------- ids
            {{ without_space('inchi_text') }} as id_inchi,
            -- The function is only asked about what is not plain.
            case
                when {{ is_cas_like('cas_text') }} then cas_text
                else {{ function('repair_cas') }}(cas_text)
            end as cas_number,

            ---------- text
            case
                when
                    not ({{ is_spreadsheet_error('feature_text') }})
                    and not {{ is_date_like('feature_text') }}
                    and not (is_formula and starts_with(feature_text, '='))
                    then {{ composed('feature_text') }}
            end as feature,
            case
                when not ({{ is_spreadsheet_error('method_text') }})
                    then {{ composed('method_text') }}
            end as method,
            case
                when
                    value_text is null
                    or upper(replace(value_text, '.', ''))
                    in ('NA', 'N/A', '#N/A')
                    then 'not_available'
                when upper(replace(value_text, '.', '')) = 'ND'
                    then 'not_detected'
                else 'measured'
            end as sample_status,

            ---------- numbers
            case
                when level_text is null
                    then {{ default_of('metabolites', 'identification_level') }}
                else {{ to_integer('level_text', 'smallint') }}
            end as identification_level,
            {{ decimal_point('value_text') }} as value_read,
            {{ to_number(decimal_point('value_text')) }} as sample_value
        from (values (1)) as once (row_read)
        offset 0 -- noqa: AM09
    ) as typed

),

noted as (

    select
        *,
        {{ default_of('metabolites', 'metabolite_id') }} as metabolite_id,
        {{ repairs({
            'feature': 'feature_given',
            'identification_level': 'level_given',
            'id_inchi': 'inchi_given',
            'cas_number': 'cas_given',
            'method': 'method_given',
            'sample_value': ['value_given', 'value_read'],
        }) }} as repairs,
        {{ problems({
            'feature': 'feature_given',
            'identification_level': 'level_given',
            'method': 'method_given',
            'sample_value': "case when sample_status = 'measured' then value_given end",
        }) }} as _problems,
        {{ proposals({
            'feature': [
                'feature_given',
                'case when feature is null then ' ~ proposed_name('feature_text') ~ ' end',
            ],
            'identification_level': [
                'level_given',
                'case when identification_level is null then '
                ~ proposed_level('level_text') ~ ' end',
            ],
            'id_inchi': [
                'inchi_given',
                "case when not starts_with(id_inchi, 'InChI=1S/') then "
                ~ function('propose_inchi') ~ '(id_inchi) end',
            ],
            'cas_number': [
                'cas_given',
                'case when not ' ~ is_cas_like('cas_number') ~ ' then '
                ~ function('propose_cas') ~ '(cas_number) end',
            ],
            'sample_value': [
                'value_given',
                'case when sample_value is null then '
                ~ proposed_number('value_text') ~ ' end',
            ],
        }) }}
        || case
            when _malformed like '%InChI=1%'
                then array['id_inchi: put an InChI with commas in quotes']
            else '{}'
        end as _proposals

    from renamed

)

select
    _load_id,
    _row_number,
    _malformed,
    _hash,
    _problems,
    _proposals,

    ---------- ids
    metabolite_id,
    id_inchi,
    cas_number,

    ---------- text
    feature,
    method,
    sample_status,

    ---------- numbers
    identification_level,
    sample_value,

    ---------- notes
    repairs

from noted
