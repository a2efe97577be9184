with

source as (

    select * from {{ source('laboratory', 'metabolites') }}

),

cleaned as (

    select
        {{ provenance() }},

        {{ clean_text('features') }} as feature,
        {{ clean_text('identification_level') }} as level_given,
        {{ clean_text('id_inchi') }} as inchi_given,
        {{ clean_text('cas_number') }} as cas_given,
        {{ clean_text('method') }} as method,
        {{ clean_text('sample_data') }} as value_given

    from source

),

renamed as (

    select
        *,

        ---------- ids
        {{ without_space('inchi_given') }} as id_inchi,
        -- A zero before the check digit comes from a spreadsheet that took the
        -- number for a date; repaired only where the check digit then fits.
        case
            when
                {{ matches('cas_given', '^[0-9]+-[0-9]{2}-0[0-9]$') }}
                and {{ function('is_cas_number') }}(
                    regexp_replace(cas_given, '0(.)$', '\1')
                )
                then regexp_replace(cas_given, '0(.)$', '\1')
            else cas_given
        end as cas_number,

        ---------- numbers
        case
            when level_given is null
                then {{ default_of('metabolites', 'identification_level') }}
            else {{ to_integer('level_given', 'smallint') }}
        end as identification_level,
        {{ to_number('value_given') }} as sample_value,

        ---------- text
        case
            when
                value_given is null
                or upper(replace(value_given, '.', '')) in ('NA', 'N/A', '#N/A')
                then 'not_available'
            when upper(replace(value_given, '.', '')) = 'ND' then 'not_detected'
            else 'measured'
        end as sample_status

    from cleaned

),

noted as (

    select
        *,
        {{ default_of('metabolites', 'metabolite_id') }} as metabolite_id,
        {{ repairs({
            'identification_level': 'level_given',
            'id_inchi': 'inchi_given',
            'cas_number': 'cas_given',
        }) }} as repairs,
        {{ problems({
            'identification_level': 'level_given',
            'sample_value': "case when sample_status = 'measured' then value_given end",
        }) }} as _problems

    from renamed

)

select
    _load_id,
    _row_number,
    _malformed,
    _hash,
    _problems,

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
