with

source as (

    select * from {{ source('multiverse', 'apprenticeships') }}

),

cleaned as (

    select
        {{ provenance() }},

        {{ clean_text('id') }} as id,
        {{ clean_text('name') }} as name,
        {{ clean_text('programme_id') }} as programme_id,
        {{ clean_text('modified_date') }} as modified_given,
        {{ clean_text('first_name') }} as first_name,
        {{ clean_text('last_name') }} as last_name,
        {{ clean_text('email_address') }} as email_given

    from source

),

renamed as (

    select
        *,

        ---------- text
        lower(email_given) as email_address,

        ---------- dates
        {{ to_timestamp('modified_given') }} as modified_date

    from cleaned

),

noted as (

    select
        *,
        {{ repairs({'email_address': 'email_given'}) }} as repairs,
        {{ problems({'modified_date': 'modified_given'}) }} as _problems

    from renamed

)

select
    _load_id,
    _row_number,
    _malformed,
    _hash,
    _problems,

    ---------- ids
    id,
    programme_id,

    ---------- text
    name,
    first_name,
    last_name,
    email_address,

    ---------- dates
    modified_date,

    ---------- notes
    repairs

from noted
